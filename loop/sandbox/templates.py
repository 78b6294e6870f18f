"""Commands as argument lists with typed slots; a value fills one argument and can become neither option nor shell text."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import PrloreError

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
_WORD = re.compile(r"[A-Za-z0-9][\w.:/@=+,-]{0,199}")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?")


class TemplateError(PrloreError):
    """A template or a value that can't become a command."""


@dataclass(frozen=True, slots=True)
class Template:
    """An argument list whose arguments may hold `{name:kind}`.

    Kinds: `word` (a name, never with `-` in front), `number`, `path` (absolute), `text` (anything, and only as a whole
    argument).
    """

    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.argv or _SLOT.search(self.argv[0]):
            raise TemplateError("a template begins with the name of a program, which is no slot")
        for part in self.argv:
            for name, kind in _SLOT.findall(part):
                if kind not in ("word", "number", "path", "text"):
                    raise TemplateError(f"{{{name}:{kind}}}: kinds are word, number, path and text")
                if kind == "text" and not _SLOT.fullmatch(part):
                    raise TemplateError(f"{{{name}:text}} has to be an argument of its own")

    @property
    def slots(self) -> frozenset[str]:
        """Names that have to be given."""
        return frozenset(name for part in self.argv for name, _ in _SLOT.findall(part))

    def fill(self, values: Mapping[str, object]) -> tuple[str, ...]:
        """The argument list.

        Raises:
            TemplateError: a value is missing or not of its slot's kind.
        """
        missing = self.slots - values.keys()
        if missing:
            raise TemplateError(f"no value for {', '.join(sorted(missing))}")

        def put(match: re.Match[str]) -> str:
            return _checked(match[1], match[2], str(values[match[1]]))

        return tuple(_SLOT.sub(put, part) for part in self.argv)


def _checked(name: str, kind: str, value: str) -> str:
    if "\0" in value:
        raise TemplateError(f"{name} holds a NUL")
    fits = {
        "word": _WORD.fullmatch(value) is not None,
        "number": _NUMBER.fullmatch(value) is not None,
        "path": value.startswith("/") and ".." not in value.split("/") and "\n" not in value,
        "text": True,
    }[kind]
    if not fits:
        raise TemplateError(f"{name} is no {kind}: {value[:60]!r}")
    # an option is never meant: templates write those themselves
    return f" {value}" if kind == "text" and value.startswith("-") else value


def parse_template(text: str) -> Template:
    """A template as a spec writes it: arguments separated by blanks, without any quoting.

    Raises:
        TemplateError: it holds what only a shell would understand.
    """
    if re.search(r"[|&;<>`$\\\"'*?~\n]", text):
        raise TemplateError(
            f"{text[:80]!r} holds shell syntax: write program and arguments, separated by blanks"
        )
    return Template(tuple(text.split()))


@dataclass(frozen=True, slots=True)
class Program:
    """An executable as it was found: absolute path and sha256 of its file."""

    path: str
    sha256: str


def find_program(name: str, search: str | None = None) -> Program:
    """Resolve a program once, so that a later change of PATH or of the file is noticed.

    Args:
        name: its name, or an absolute path.
        search: folders to look in, as PATH has them; PATH where None.

    Raises:
        TemplateError: there is none.
    """
    found = shutil.which(name, path=search)
    if found is None:
        raise TemplateError(f"no program named {name!r}: install it, or leave this proposer out of the spec")
    path = Path(found).resolve()
    return Program(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def with_program(argv: Sequence[str], program: Program) -> tuple[str, ...]:
    """The command with its program by absolute path.

    Raises:
        TemplateError: the program is not the file it was.
    """
    if hashlib.sha256(Path(program.path).read_bytes()).hexdigest() != program.sha256:
        raise TemplateError(f"{program.path} is not the file it was when the campaign began")
    return (program.path, *argv[1:])
