"""What is still open: questions to the author, missing tests and benchmarks with the lanes of this area, what risk stays."""

from __future__ import annotations

from collections import Counter

from ingest.trees import definitions, mentions
from kb.critique.drafts import Case, clean, named, short
from kb.critique.findings import Finding, Record
from kb.critique.history import PastPull, days_between
from kb.critique.ranking import Spot
from kb.critique.rules_facts import NUMBER, code_hunks
from kb.words import prose_words

_LANES = 3
_PLATFORMS = (
    "ascend",
    "npu",
    "amd",
    "rocm",
    "xpu",
    "hpu",
    "cpu",
    "tpu",
)  # a lane of one is no lane of another
_PLAIN = frozenset(
    (
        "test",
        "tests",
        "python",
        "srt",
        "sglang",
        "vllm",
        "py",
        "layer",
        "model",
        "add",
        "support",
        "fix",
        "unit",
    )
)
_TELLING = 6  # characters of a name that is looked up in a checkout
_LOOKED_UP = 20
_WIDE = 30  # files: a change of that many says nothing of the tests of one of them
_RECENT = 400  # days: older lanes may be gone


class Gap(Record, frozen=True, kw_only=True):
    """Something that is missing. `lanes` are tests, benchmarks or command lines that past changes of this area used."""

    what: str
    lanes: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()


def questions(case: Case) -> list[str]:
    """What the diff leaves open, at most four."""
    patch = case.patch
    asked: list[str] = []
    groups = {f.group for f in patch.files}
    hunks = code_hunks(case)
    if patch.kind == "fix" and "test" not in groups and hunks:
        asked.append(
            f"Which case fails without this change? No test in the diff shows it ({named(hunks[0].symbol, hunks[0].path)})."
        )
    if patch.kind == "perf" and not NUMBER.search(f"{patch.title} {patch.message}"):
        asked.append("Which figure improves, on what hardware, model and shapes, in prefill and in decode?")
    if patch.facts.env_added and "docs" not in groups:
        listed = ", ".join(f"`{n}`" for n in patch.facts.env_added[:3])
        asked.append(f"Who sets {listed}, and what happens where nobody does?")
    if patch.facts.flags_removed:
        listed = ", ".join(f"`{n}`" for n in patch.facts.flags_removed[:3])
        asked.append(f"What should users of {listed} write now?")
    asked += _left_behind(case)
    cut = [f.path for f in patch.files if f.cut]
    if cut:
        listed = ", ".join(f"`{clean(p)}`" for p in cut[:2])
        asked.append(
            f"Not read whole: {listed}{f' and {len(cut) - 2} more' if len(cut) > 2 else ''}. What changes there?"
        )
    return asked[:4]


def _left_behind(case: Case) -> list[str]:
    """Definitions and flags that the patch takes away and the checkout still names."""
    checkout = case.checkout
    if checkout is None or not checkout.is_after:
        return []
    gone = [
        s.name.split(".")[-1]
        for f in case.patch.files
        for s in f.symbols
        if s.change == "removed" and s.kind in ("function", "method", "class", "kernel", "struct")
    ]
    names = [n for n in dict.fromkeys(gone) if len(n) >= _TELLING and not n.startswith("__")][:_LOOKED_UP]
    flags = list(case.patch.facts.flags_removed)[:_LOOKED_UP]
    counts = mentions(checkout.tree, [*names, *flags])
    elsewhere = {p.name for p in definitions(checkout.tree, [n for n in names if n in counts])}
    left = [n for n in (*names, *flags) if n in counts and n not in elsewhere]
    return [
        f"`{clean(n)}` is taken away, and the checkout still names it {counts[n]} times: is that on purpose?"
        for n in left[:2]
    ]


def gaps(case: Case) -> list[Gap]:
    """Missing tests and benchmarks."""
    patch = case.patch
    groups = Counter(f.group for f in patch.files)
    hunks = code_hunks(case)
    found: list[Gap] = []
    if not hunks:
        return found
    near = _near(case)
    beyond = case.there
    if not groups["test"]:
        lanes, pulls = _lanes(case, [(p, tuple(beyond(p.tests))) for p in near])
        where = named(hunks[0].symbol, hunks[0].path)
        found.append(Gap(what=f"No test in the diff; {where} changes most.", lanes=lanes, pulls=pulls))
    if (patch.kind == "perf" or groups["kernel"]) and not groups["benchmark"]:
        lanes, pulls = _lanes(case, [(p, tuple(beyond(p.benchmarks)) or p.facts.commands) for p in near])
        found.append(Gap(what="No benchmark in the diff.", lanes=lanes, pulls=pulls))
    return found


def _near(case: Case) -> list[PastPull]:
    """Past changes of the same definitions, then of the same files, newest first."""
    history = case.history
    inside = {p.id: p for h in case.patch.hunks for p in history.symbol_changes(h.path, h.symbols[:2])}
    paths = [f.path for f in case.patch.files if f.group in ("runtime", "kernel")]
    around = {i: history.pulls[i] for path in paths for i in history.touched.get(path, ()) if i not in inside}
    ordered = [*_newest(inside), *_newest(around)]
    return [p for p in ordered if days_between(p.merged_at, case.now) <= _RECENT and len(p.files) <= _WIDE]


def _newest(pulls: dict[str, PastPull]) -> list[PastPull]:
    return sorted(pulls.values(), key=lambda p: (p.merged_at, p.id), reverse=True)


def _lanes(
    case: Case, held: list[tuple[PastPull, tuple[str, ...]]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was used most, and a pull request for each; nearer changes and words shared with the patch count more."""
    paths = " ".join(f.path for f in case.patch.files).lower()
    own = set(prose_words(f"{case.patch.title} {paths.replace('/', ' ')}"))
    worth: Counter[str] = Counter()
    users: dict[str, str] = {}
    for place, (pull, lanes) in enumerate(held[:200]):
        for lane in lanes[:6]:
            if any(other in lane.lower() and other not in paths for other in _PLATFORMS):
                continue
            shared = len(own & set(prose_words(lane.replace("/", " "))) - _PLAIN)
            worth[lane] += (100 if place < 20 else 10) * (1 + 2 * shared)
            users.setdefault(lane, pull.id)
    best = sorted(worth, key=lambda n: (-worth[n], n))[:_LANES]
    return tuple(best), tuple(dict.fromkeys(users[n] for n in best))


def residual(case: Case, findings: list[Finding], spots: tuple[Spot, ...]) -> str:
    """What risk stays when nothing was found."""
    if findings:
        return ""
    if not any(True for _ in case.patch.hunks):
        return "No line changes, so no past fix could be held against it."
    first = spots[0] if spots else None
    fixes = [
        p for h in case.patch.hunks for p in case.history.symbol_changes(h.path, h.symbols[:1]) if p.is_fix
    ]
    seen = (
        f"{len({p.id for p in fixes})} past fixes touched these definitions and none over the names that change now"
        if fixes
        else "no past fix touched these definitions"
    )
    where = (
        f" Read {named(first.place.symbol, first.place.path)} first ({', '.join(first.why)})."
        if first
        else ""
    )
    last = f" The newest of them is {short(max(fixes, key=lambda p: p.merged_at).id)}." if fixes else ""
    return f"No finding: {seen}.{last}{where} That is what history says; it is no proof that the change is right."
