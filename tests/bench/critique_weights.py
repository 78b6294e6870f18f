"""Learn the weights of `kb/critique/ranking.py` from merged pull requests, and write data/critique.json.

    .venv/bin/python tests/bench/critique_weights.py --kb KB CASES.jsonl… [--before 2025-12-01]

Only cases merged before the date are used; `prlore eval review` is for those behind it. A softmax over the hunks of each
pull request with the mended ones as its target, a ridge on standardised weights, gradient descent. Cases that were
taken back as a whole, or of which every hunk was mended, teach nothing about order and are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np

from kb.critique.evaluate import read_cases
from kb.critique.history import read_history
from kb.critique.opening import from_card
from kb.critique.ranking import features
from kb.store import Store

_RIDGE, _STEPS, _RATE, _MOMENTUM = 1.0, 400, 0.15, 0.9
_OUT = Path(__file__).resolve().parents[2] / "data" / "critique.json"


def fit(groups: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Weights for standardised columns: each group is (features of its hunks, their share of the target)."""
    beta = np.zeros(groups[0][0].shape[1])
    speed = np.zeros_like(beta)
    for _ in range(_STEPS):
        gradient = _RIDGE * beta
        for x, target in groups:
            z = x @ beta
            p = np.exp(z - z.max())
            gradient += x.T @ (p / p.sum() - target)
        speed = _MOMENTUM * speed + gradient / len(groups)
        beta -= _RATE * speed
    return beta


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("--kb", required=True)
    parser.add_argument("--before", required=True)
    parser.add_argument("--most", type=int, default=600, help="cases a file, the newest")
    args = parser.parse_args()
    store = Store.open(args.kb)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    names: list[str] = []
    for path in args.cases:
        cases = [
            c for c in read_cases(path)
            if c.mended and c.merged_at < args.before and not c.reverted and c.files >= 3 and len(c.mended) < c.hunks
        ]  # fmt: skip
        cases = (
            [cases[i * len(cases) // args.most] for i in range(args.most)]
            if len(cases) > args.most
            else cases
        )
        for case in cases:
            patch = from_card(store, case.id)
            history = read_history(store, patch)
            mended = {(m.path, m.hunk) for m in case.mended}
            hunks = [(f, h) for f in patch.files for h in f.hunks]
            held = [features(patch.as_of, patch, history, f, h) for f, h in hunks]
            target = np.array([float((h.path, h.header) in mended) for _, h in hunks])
            if target.sum():
                names = list(held[0])
                found.append((np.array([[v[n] for n in names] for v in held]), target / target.sum()))
    every = np.vstack([x for x, _ in found])
    mean, spread = every.mean(axis=0), every.std(axis=0) + 1e-9
    beta = fit([((x - mean) / spread, target) for x, target in found])
    plain = beta / spread
    for name, value, scaled in sorted(zip(names, plain, beta, strict=True), key=lambda t: -abs(t[2])):
        print(f"{name:18s} {value:8.3f}  standardised {scaled:7.3f}")
    learned = {"weights": {n: round(float(v), 4) for n, v in zip(names, plain, strict=True)}}
    _OUT.write_bytes(msgspec.json.format(msgspec.json.encode(learned), indent=1) + b"\n")
    print(f"{len(found)} pull requests, {len(every)} hunks; written to {_OUT.name}")


if __name__ == "__main__":
    main()
