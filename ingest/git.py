"""Git as a child process that nothing around it can influence.

No system or user configuration, no hooks, no external diff, no textconv, no lazy fetch of missing
objects, no prompt. Arguments that come from a user stand behind `--end-of-options`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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

# The attributes in a git folder's own info/ win over those of a tree.
_AS_IT_IS = "* -text -eol -ident -filter -working-tree-encoding -export-ignore -export-subst !merge\n"

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
    "i18n.logOutputEncoding": "UTF-8",
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
    """A local git repository, opened read-only. Create it with `open_repository`.

    Attributes:
        git_dir: an empty repository made for this run that borrows the other's objects. It has no configuration,
            attributes, hooks, remotes or work tree of anybody's.
        source: the repository itself; only names of revisions are looked up in it.
        attributes: file of the attributes diffs are made with.
    """

    git_dir: Path
    source: Path
    attributes: Path

    def command(self, *args: str, git_dir: Path | None = None) -> list[str]:
        """The full argument vector of `git ARGS` for this repository."""
        config = [f"{key}={value}" for key, value in _CONFIG.items()]
        config += [f"core.attributesFile={self.attributes}", "safe.directory=*"]
        flags = [part for item in config for part in ("-c", item)]
        return ["git", "--no-pager", *flags, f"--git-dir={git_dir or self.git_dir}", *args]

    def is_there(self) -> bool:
        """Whether the source still is where it was opened."""
        borrowed = (
            (self.git_dir / "objects" / "info" / "alternates").read_text("utf-8", "surrogateescape").strip()
        )
        return self.source.is_dir() and (borrowed.startswith('"') or Path(borrowed).is_dir())

    def shallow(self) -> frozenset[str]:
        """Commits whose parents a shallow clone left out."""
        path = self.git_dir / "shallow"
        return frozenset(path.read_text("ascii").split()) if path.exists() else frozenset()

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        git_dir: Path | None = None,
        variables: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (0,),
    ) -> bytes:
        """Run `git ARGS` and return its output.

        Args:
            args: the command and its arguments.
            stdin: what it reads.
            git_dir: another git folder than our own.
            variables: environment variables of this call, such as an index file of its own.
            accept: exit statuses that are an answer; `merge-tree` says 1 for a conflict.

        Raises:
            GitFailed: git ended with another status.
        """
        done = subprocess.run(
            self.command(*args, git_dir=git_dir),
            input=stdin,
            capture_output=True,
            env=_environment() | dict(variables or {}),
            cwd=self.attributes.parent,  # attributes of the folder prlore is run in must not count
            check=False,
        )
        if done.returncode not in accept:
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
            cwd=self.attributes.parent,
        )

    def resolve(self, rev: str) -> str:
        """The commit a revision names.

        Raises:
            RepositoryError: nothing of that name, or it is not a commit.
        """
        name = f"{rev}^{{commit}}"
        try:
            out = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", name, git_dir=self.source)
        except (GitFailed, ValueError):  # ValueError: a NUL in the name
            raise RepositoryError(
                f"no commit named {rev!r} in {self.source}: give a branch, tag or commit with --rev"
            ) from None
        return out.decode().strip()


@contextmanager
def open_repository(path: Path) -> Iterator[Repository]:
    """Open the repository at a work tree, a `.git` folder or a bare folder.

    Raises:
        RepositoryError: there is no git repository.
    """
    source = _find_git_dir(path)
    with tempfile.TemporaryDirectory(prefix="prlore-git-") as scratch:
        attributes = Path(scratch) / "attributes"
        attributes.write_text(_ATTRIBUTES, encoding="ascii")
        borrowed = Path(scratch) / "borrowed.git"
        repository = Repository(borrowed, source, attributes)
        _borrow(repository)
        yield repository


def keep_repository(folder: Path, source: Path) -> Repository:
    """A repository of our own in `folder` that lasts and borrows the objects of the one at `source`.

    It is where trees of candidates are made: nothing that others can write to configures it, and its own attributes
    keep every byte of a file as it is, whatever a tree's `.gitattributes` ask for.

    Raises:
        RepositoryError: there is no git repository at `source`.
    """
    found = _find_git_dir(source)
    attributes = folder / "attributes"
    kept = Repository(folder / "trees.git", found, attributes)
    if kept.git_dir.is_dir():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    attributes.write_text(_ATTRIBUTES, encoding="ascii")
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as scratch:
        new = Repository(Path(scratch) / "trees.git", found, attributes)
        _borrow(new)
        (new.git_dir / "info").mkdir()
        (new.git_dir / "info" / "attributes").write_text(_AS_IT_IS, encoding="ascii")
        new.git_dir.rename(kept.git_dir)  # a killed start must not look like a finished one
    return kept


def _borrow(repository: Repository) -> None:
    """Make the empty repository whose objects are the source's."""
    common = repository.source
    if (common / "commondir").is_file():  # a linked work tree
        common = (common / (common / "commondir").read_text("utf-8").strip()).resolve()
    borrowed = repository.git_dir
    (borrowed / "objects" / "info").mkdir(parents=True)
    (borrowed / "refs").mkdir()
    (borrowed / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
    alternate = str(common / "objects")
    if alternate.startswith('"') or "\n" in alternate:  # as objects/info/alternates has to have it
        alternate = '"' + alternate.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    (borrowed / "objects" / "info" / "alternates").write_text(
        alternate + "\n", encoding="utf-8", errors="surrogateescape"
    )
    form = repository.run("rev-parse", "--show-object-format", git_dir=repository.source).decode().strip()
    if form != "sha1":
        settings = (
            f"[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = {form}\n"
        )
    else:
        settings = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    (borrowed / "config").write_text(settings, encoding="ascii")
    if (common / "shallow").exists():
        (borrowed / "shallow").write_bytes((common / "shallow").read_bytes())


def _find_git_dir(path: Path) -> Path:
    try:
        for candidate in (path / ".git", path):
            if candidate.is_file():  # a linked work tree or a submodule: the file names the folder
                named = candidate.read_bytes()[:4096].decode("utf-8", "replace")
                named = named.removeprefix("gitdir:").strip()
                candidate = (candidate.parent / named).resolve()
            has_objects = (candidate / "objects").is_dir() or (candidate / "commondir").exists()
            if (candidate / "HEAD").exists() and has_objects:
                return candidate.resolve()
    except (OSError, ValueError):  # a name too long, a NUL in it: no repository either
        pass
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
    # a private certificate authority is the user's to name
    trusted = {k: os.environ[k] for k in ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH") if k in os.environ}
    done = subprocess.run(argv, capture_output=True, env=_environment() | trusted, check=False)
    if done.returncode != 0:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = next(
            (line for line in said if line.startswith("fatal:")), said[-1] if said else "git failed"
        )
        raise RepositoryError(f"can't read {url}: {reason}")
    if partial is not None:  # a killed clone must not look like a finished one
        partial.rename(folder)


def batch_lines(items: Sequence[str]) -> bytes:
    """Object names as `--stdin` wants them."""
    return "".join(f"{item}\n" for item in items).encode()


def make_repository(folder: Path, stream: bytes) -> None:
    """A new bare repository from a `git fast-import` stream, as written: authors, dates and all.

    Raises:
        GitFailed: the folder holds something, or the stream is not one.
    """
    for args, stdin in (("init", b""), ("fast-import", stream)):
        more = ["--bare", "--quiet", str(folder)] if args == "init" else ["--quiet"]
        where = [] if args == "init" else [f"--git-dir={folder}"]
        done = subprocess.run(
            ["git", *where, args, *more],
            input=stdin,
            capture_output=True,
            env=_environment() | {"GIT_TEMPLATE_DIR": ""},
            check=False,
        )
        if done.returncode:
            stderr = done.stderr.decode("utf-8", "replace").strip()
            raise GitFailed(f"git {args} failed: {stderr or done.returncode}", stderr)
