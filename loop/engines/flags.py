"""Launch options as an engine's `--help` states them, and which of a command's this version does not take.

Both engines print argparse's help: an option begins a line of its own, with its choices or its value's name behind it.

  --host HOST           Host name.
  --dtype {auto,bfloat16,float16}
  --enable-prefix-caching, --no-enable-prefix-caching
  --max-num-seqs MAX_NUM_SEQS, --max-running-requests MAX_NUM_SEQS
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# two to six blanks, then an option; help of an option is indented by far more, so no sentence is taken for one
_LINE = re.compile(r"^ {1,6}(-{1,2}[A-Za-z][\w.\-]*.*)$")
_NAMED = re.compile(r"(?<![\w-])(--?[A-Za-z][\w.\-]*)(?:[ =](\{[^}]*\}|\[[^\]]*\]|[A-Z<][\w<>|.\-]*))?")
_WRAPPED = re.compile(r"\{[^}\n]*\n[^}]*\}")


@dataclass(frozen=True)
class Option:
    """An option of a server.

    Attributes:
        names: all its names, as the help gives them.
        choices: what it may be; empty where anything goes.
        takes_value: whether a word follows it.
    """

    names: tuple[str, ...]
    choices: tuple[str, ...] = ()
    takes_value: bool = True


@dataclass(frozen=True)
class Rejected:
    """An option of a command that was left out, and why."""

    flag: str
    reason: str

    def __str__(self) -> str:
        return f"{self.flag}: {self.reason}"


def parse_help(text: str) -> dict[str, Option]:
    """Option by name, all names of one pointing to it; an option given twice is the first one's."""
    text = _WRAPPED.sub(lambda match: re.sub(r"\s+", "", match[0]), text)
    found: dict[str, Option] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        head = re.split(r"\s{2,}", match[1])[0]  # two blanks part an option from its help
        named = _NAMED.findall(head)
        values = [value for _, value in named if value]
        choices = next((tuple(v.strip("{}").split(",")) for v in values if v.startswith("{")), ())
        option = Option(tuple(name for name, _ in named), choices, bool(values))
        for name in option.names:
            found.setdefault(_normal(name), option)
    return found


def accepted(
    flags: Iterable[str], known: Mapping[str, Option], version: str
) -> tuple[tuple[str, ...], tuple[Rejected, ...]]:
    """Options that this version takes, in order, and those it doesn't, each with its reason.

    An empty `known` means that no help could be read: then nothing is left out.
    """
    if not known:
        return tuple(flags), ()
    kept: list[str] = []
    rejected: list[Rejected] = []
    for name, values in grouped(flags):
        option = known.get(_normal(name))
        if option is None:
            near = difflib.get_close_matches(_normal(name), known, n=1, cutoff=0.75)
            hint = f"; the nearest is {near[0]}" if near else ""
            rejected.append(Rejected(" ".join((name, *values)), f"{version} has no such option{hint}"))
        elif option.choices and any(value not in option.choices for value in values):
            rejected.append(
                Rejected(" ".join((name, *values)), f"{version} offers {', '.join(option.choices)}")
            )
        else:
            kept += [name, *values]
    return tuple(kept), tuple(rejected)


def grouped(flags: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Options with the words that follow them; `--a=b` is `--a b`. Words before the first option stand alone."""
    name: str | None = None
    values: list[str] = []
    for word in flags:
        if word.startswith("-") and not re.fullmatch(r"-[\d.]+(?:e-?\d+)?", word):
            if name is not None:
                yield name, tuple(values)
            name, joined, value = word.partition("=")
            values = [value] if joined else []
        elif name is not None:
            values.append(word)
        else:
            yield word, ()
    if name is not None:
        yield name, tuple(values)


def merged(base: Iterable[str], over: Iterable[str]) -> tuple[str, ...]:
    """Options of both; where both give one, the later takes the earlier's place, `--no-x` that of `--x`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, values in (*grouped(base), *grouped(over)):
        found.pop(_opposite(name), None)
        found[name] = values
    return tuple(word for name, values in found.items() for word in (name, *values))


def _opposite(name: str) -> str:
    return f"--{name[5:]}" if name.startswith("--no-") else f"--no-{name[2:]}"


def _normal(name: str) -> str:
    """Names as argparse and vLLM's parser take them: underscores are hyphens."""
    return name.replace("_", "-") if name.startswith("--") else name
