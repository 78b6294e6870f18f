"""The command line of bubblewrap: namespaces of its own, and of the file system only what is named.

Nothing of the campaign, of the home folder or of other processes is there to be read or signalled. Variables are not
written into the command line, where everybody could read them.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# what programs need to start; each only where it exists
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
           "/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates",
           "/sys/devices/system/cpu", "/sys/devices/system/node")  # fmt: skip
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/services")
_EMPTY = Path(__file__).parent.parent / "py.typed"  # an empty file; a device can't be read through a bind
_GPU = ("/dev/nvidia*", "/dev/nvidia-caps/*")


@dataclass(frozen=True, slots=True)
class Walls:
    """What a child may see.

    Attributes:
        readable: files and folders, read only.
        writable: folders that it may change; they have to exist.
        network: whether it shares the machine's network; otherwise not even loopback leads anywhere.
        gpu: whether it may use the GPUs.
        hidden: files that show as empty, such as instructions for agents in a stranger's tree.
    """

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: bool = False
    gpu: bool = False
    hidden: tuple[Path, ...] = field(default=())


def bubblewrap() -> str | None:
    """Path of bubblewrap, None where there is none."""
    return shutil.which("bwrap")


def wrapped(program: str, walls: Walls, cwd: Path, argv: Iterable[str]) -> tuple[str, ...]:
    """The command inside of the walls.

    Args:
        program: path of bubblewrap.
        walls: what it may see.
        cwd: where it begins; a folder that it sees.
        argv: the command.
    """
    words = [
        program,
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--hostname",
        "sandbox",
    ]
    if walls.network:
        words.append("--share-net")
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/dev/shm"]
    for path in (*_SYSTEM, *(_NETWORK if walls.network else ())):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    if walls.gpu:
        for path in sorted(p for pattern in _GPU for p in glob.glob(pattern)):
            words += ["--dev-bind", path, path]
    # outer folders first, or they would cover what lies in them
    binds = [(p, "--ro-bind") for p in walls.readable] + [(p, "--bind") for p in walls.writable]
    for path, how in sorted(binds, key=lambda b: (len(b[0].parts), str(b[0]))):
        words += [how, str(path), str(path)]
    for hidden in walls.hidden:
        words += ["--ro-bind", str(_EMPTY), str(hidden)]
    return (*words, "--chdir", str(cwd), "--", *argv)


def interpreter_folders(python: str) -> tuple[Path, ...]:
    """Folders that an interpreter needs: its environment, the installation that this is made from, and what `.pth` files name."""
    here = Path(python)
    found = {here.parent.parent, here.resolve().parent.parent}
    if python == sys.executable:
        found |= {Path(sys.prefix), Path(sys.base_prefix)}
    for linked in here.parent.parent.glob("lib/python*/site-packages/*.pth"):
        lines = linked.read_text("utf-8", "replace").splitlines()
        found |= {
            Path(line.strip()) for line in lines if line.startswith("/") and Path(line.strip()).is_dir()
        }
    return tuple(sorted(p for p in found if str(p) not in ("/usr", "/") and p.exists()))
