"""What has to be equal before two numbers may be compared, and what was not recorded.

A field that differs is a refusal with its reason. A field that one side didn't record is a caveat: the comparison
stands, and says what it took for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.bench.candidates import Candidate, near
from analysis.bench.result import Result


@dataclass(frozen=True)
class Check:
    """One thing that has to be equal."""

    name: str
    of: Callable[[Result], Any]
    same: Callable[[Any, Any], bool] = lambda a, b: bool(a == b)
    needed: bool = False  # both sides silent about it is worth a caveat, too


def _name_part(text: str) -> str:
    return text.rstrip("/").replace("\\", "/").rpartition("/")[2].lower()


CHECKS = (
    Check("model", lambda r: r.model, lambda a, b: _name_part(a) == _name_part(b), True),
    Check("tokenizer", lambda r: r.tokenizer, lambda a, b: _name_part(a) == _name_part(b), True),
    Check("GPU count", lambda r: r.hardware.gpu_count, needed=True),
    Check("GPU", lambda r: r.hardware.gpu_model, lambda a, b: _gpu(a) == _gpu(b)),
    Check("scenario", lambda r: r.workload.scenario),
    Check("kind of load", lambda r: r.workload.kind),
    Check("input length", lambda r: r.workload.input_len, near, True),
    Check("output length", lambda r: r.workload.output_len, near, True),
    Check("number of prompts", lambda r: r.workload.num_prompts),
    Check("request rate", lambda r: r.workload.request_rate),
    Check("concurrency", lambda r: r.workload.max_concurrency),
    Check("prefix cache", lambda r: r.cache.prefix_cache_enabled),
)
_STATED = {
    "same_gpu_count": "GPU count",
    "same_model_weights": "model weights",
    "same_tokenizer": "tokenizer",
    "same_endpoint": "endpoint",
}


def _gpu(text: str) -> str:
    return (
        text.lower().replace("nvidia", "").replace("amd", "").replace("-", " ").split()[0]
        if text.strip()
        else ""
    )


def differences(a: Candidate, b: Candidate) -> list[str]:
    """Why two candidates may not be compared; empty when they may."""
    left, right = a.first.result, b.first.result
    found = []
    for check in CHECKS:
        x, y = check.of(left), check.of(right)
        if x is not None and y is not None and not check.same(x, y):
            found.append(f"{check.name} {_shown(x)} against {_shown(y)}")
    loads = [(c.name, c.first.result) for c in (a, b)]
    silent = [name for name, r in loads if r.status == "ok" and not _load_known(r)]
    if len(silent) == 1:
        found.append(f"neither request rate nor concurrency is recorded for {silent[0]}")
    return found


def _load_known(r: Result) -> bool:
    return r.workload.request_rate is not None or r.workload.max_concurrency is not None


def own_refusals(candidate: Candidate) -> list[str]:
    """What a row itself says against comparing it: `normalization.same_*` is false."""
    found = []
    for run in candidate.runs:
        for key, what in _STATED.items():
            if getattr(run.result.normalization, key) is False:
                notes = run.result.normalization.notes
                found.append(
                    f"its own row says that the {what} is not the same" + (f" ({notes})" if notes else "")
                )
    return list(dict.fromkeys(found))


def caveats(group: Sequence[Candidate]) -> Iterator[str]:
    """What a comparison within a group takes for granted."""
    if len(group) < 2:
        return
    for check in CHECKS:
        values = {c.name: check.of(c.first.result) for c in group}
        silent = [name for name, value in values.items() if value is None]
        if check.name == "kind of load":
            continue  # few clients have a word for it; lengths and rate say more
        if silent and len(silent) < len(values):
            yield f"{check.name} is not recorded for {', '.join(silent)}: taken as equal"
        elif silent and check.needed:
            yield f"{check.name} is recorded for none: taken as equal"
        written = {value for value in values.values() if isinstance(value, str)}
        if check.name in ("model", "tokenizer") and len(written) > 1:
            yield f"{check.name} is written {' and '.join(sorted(written))}: taken as the same by the last part"
    clients = sorted({c.first.client for c in group} - {"candidates"})
    if len(clients) > 1:
        yield f"measured by different clients ({', '.join(clients)}): their clocks and token counts differ"


def groups_of(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates that may be compared with each other; each joins the first group in which it fits everyone."""
    groups: list[list[Candidate]] = []
    # the fullest record first, so that a silent row doesn't bring together what differs
    order = sorted(candidates, key=lambda c: sum(check.of(c.first.result) is None for check in CHECKS))
    for candidate in order:
        if own_refusals(candidate):
            groups.append([candidate])
            continue
        for group in groups:
            if not any(own_refusals(c) or differences(candidate, c) for c in group):
                group.append(candidate)
                break
        else:
            groups.append([candidate])
    place = {id(c): i for i, c in enumerate(candidates)}
    for group in groups:
        group.sort(key=lambda c: place[id(c)])
    return sorted(groups, key=lambda g: place[id(g[0])])


def label_of(group: Sequence[Candidate]) -> str:
    """A group's load in words: `chat: 1000 -> 128 tokens, 80 prompts, concurrency 16`."""

    def first(of: Callable[[Result], Any]) -> Any:
        return next((v for c in group if (v := of(c.first.result)) is not None), None)

    lengths = first(lambda r: r.workload.input_len), first(lambda r: r.workload.output_len)
    parts = []
    if any(n is not None for n in lengths):
        parts.append(" -> ".join("?" if n is None else f"{n:.0f}" for n in lengths) + " tokens")
    prompts = first(lambda r: r.workload.num_prompts)
    rate = first(lambda r: r.workload.request_rate)
    concurrency = first(lambda r: r.workload.max_concurrency)
    parts += [f"{prompts} prompts"] if prompts else []
    parts += (
        ["all at once" if rate == "inf" and not concurrency else f"{rate:g} req/s"]
        if rate and (rate != "inf" or not concurrency)
        else []
    )
    parts += [f"concurrency {concurrency}"] if concurrency else []
    scenario = first(lambda r: r.workload.scenario)
    text = ", ".join(parts)
    return f"{scenario}: {text}" if scenario and text else scenario or text or "load not recorded"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
