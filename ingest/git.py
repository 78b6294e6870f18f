"""Git as a child process that nothing around it can influence.

No system or user configuration, no hooks, no external diff, no textconv, no lazy fetch of missing
objects, no prompt. Arguments that come from a user stand behind `--end-of-options`.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ingest.errors import GitFailed, RepositoryError

# Hunk headers name the enclosing method only with git's language drivers; git has none for CUDA.
_ATTRIBUTES = "".join(
    f"*{suffix} diff={driver}\n"
    for suffix, driver in (
        (".py", "python"), (".pyi", "python"), (".rs", "rust"), (".md", "markdown"),
        *((s, "cpp") for s in (".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".hip")),
    )
)  # fmt: skip

# Each overrides a key of the repository's own configuration that would change what a diff says, or run something.
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "core.pager": "cat",
    "diff.algorithm": "myers",
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.indentHeuristic": "true",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.renameLimit": "1000",
    "diff.suppressBlankEmpty": "false",
    "diff.submodule": "short",
    "diff.ignoreSubmodules": "none",
    "log.showRoot": "true",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "gc.auto": "0",
    "maintenance.auto": "false",
}

_PROTOCOLS = ("https", "ssh", "file")


def _environment() -> dict[str, str]:
    """The caller's environment without any GIT_ variable, and with ours."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env.update(
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_ATTR_NOSYSTEM="1",
        GIT_TERMINAL_PROMPT="0",
        GIT_NO_LAZY_FETCH="1",
        GIT_NO_REPLACE_OBJECTS="1",
        GIT_OPTIONAL_LOCKS="0",
        LC_ALL="C",
    )
    return env


@dataclass(frozen=True, slots=True)
class Repository:
    """A local git repository, opened read-only. Create it with `open_repository`."""

    git_dir: Path
    attributes: Path

    def command(self, *args: str) -> list[str]:
        """The full argument vector of `git ARGS` for this repository."""
        config = [f"{key}={value}" for key, value in _CONFIG.items()]
        config += [f"core.attributesFile={self.attributes}", f"safe.directory={self.git_dir}"]
        flags = [part for item in config for part in ("-c", item)]
        return ["git", "--no-pager", *flags, f"--git-dir={self.git_dir}", *args]

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        """Run `git ARGS` and return its output.

        Raises:
            GitFailed: git ended with an error status.
        """
        done = subprocess.run(
            self.command(*args), input=stdin, capture_output=True, env=_environment(), check=False
        )
        if done.returncode != 0:
            stderr = done.stderr.decode("utf-8", "replace").strip()
            raise GitFailed(f"git {args[0]} failed: {stderr or done.returncode}", stderr)
        return done.stdout

    def spawn(
        self, *args: str, stdin: IO[bytes] | int | None = None, stderr: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start `git ARGS` with a pipe for its output. The caller ends the process."""
        return subprocess.Popen(
            self.command(*args),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(),
        )

    def resolve(self, rev: str) -> str:
        """The commit a revision names.

        Raises:
            RepositoryError: nothing of that name, or it is not a commit.
        """
        try:
            out = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
        except GitFailed:
            raise RepositoryError(
                f"no commit named {rev!r} in {self.git_dir}: give a branch, tag or commit with --rev"
            ) from None
        return out.decode().strip()


@contextmanager
def open_repository(path: Path) -> Iterator[Repository]:
    """Open the repository at a work tree, a `.git` folder or a bare folder.

    Raises:
        RepositoryError: there is no git repository.
    """
    git_dir = _find_git_dir(path)
    with tempfile.TemporaryDirectory(prefix="prlore-git-") as scratch:
        attributes = Path(scratch) / "attributes"
        attributes.write_text(_ATTRIBUTES, encoding="ascii")
        yield Repository(git_dir, attributes)


def _find_git_dir(path: Path) -> Path:
    for candidate in (path / ".git", path):
        if candidate.is_file():  # a linked work tree or a submodule: the file names the folder
            named = candidate.read_text("utf-8", "replace").removeprefix("gitdir:").strip()
            candidate = (candidate.parent / named).resolve()
        if (candidate / "HEAD").exists() and (
            (candidate / "objects").is_dir() or (candidate / "commondir").exists()
        ):
            return candidate.resolve()
    raise RepositoryError(f"{path} is no git repository: give a clone, a bare repository or an https URL")


def is_url(source: str) -> bool:
    """Whether a source names a remote repository rather than a folder."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*::?", source)) or bool(re.match(r"[\w.-]+@[\w.-]+:", source))


def mirror(url: str, folder: Path) -> None:
    """Clone `url` as a bare mirror into `folder`, or bring the one that is there up to date.

    Raises:
        RepositoryError: the address is not https, ssh or file, or git could not read it.
    """
    if not re.match(r"(https|ssh|file)://", url) and not re.match(r"[\w.-]+@[\w.-]+:", url):
        raise RepositoryError(f"can't clone {url!r}: give an https://, ssh:// or file:// address")
    allow = [part for name in _PROTOCOLS for part in ("-c", f"protocol.{name}.allow=always")]
    base = [
        "git",
        "-c",
        "protocol.allow=never",
        *allow,
        "-c",
        f"core.hooksPath={os.devnull}",
        "-c",
        "gc.auto=0",
    ]
    partial: Path | None = None
    if (folder / "HEAD").exists():
        refspec = "+refs/heads/*:refs/heads/*"
        argv = [*base, f"--git-dir={folder}", "fetch", "--quiet", "--no-tags", "--prune", "origin", refspec]
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        argv = [*base, "clone", "--quiet", "--bare", "--no-tags", "--", url, str(partial)]
    done = subprocess.run(argv, capture_output=True, env=_environment(), check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RepositoryError(f"can't read {url}: {said[-1] if said else 'git failed'}")
    if partial is not None:  # a killed clone must not look like a finished one
        partial.rename(folder)


def batch_lines(items: Sequence[str]) -> bytes:
    """Object names as `--stdin` wants them."""
    return "".join(f"{item}\n" for item in items).encode()
