"""Learn the weights of `kb/critique/ranking.py` from merged pull requests, and write data/critique.json.

    .venv/bin/python tests/bench/critique_weights.py --kb KB CASES.jsonl… [--before 2025-12-01]

Only cases merged before the date are used; `prlore eval review` is for those behind it. Logistic regression with a
ridge, by Newton's method; each pull request weighs the same however many hunks it has. Cases that were taken back as a
whole, or of which every hunk was mended, teach nothing about order and are left out.
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

_RIDGE = 2.0
_OUT = Path(__file__).resolve().parents[2] / "data" / "critique.json"


def fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights, the intercept last, for standardised columns."""
    x = np.hstack([x, np.ones((len(x), 1))])
    beta = np.zeros(x.shape[1])
    ridge = np.full(x.shape[1], _RIDGE)
    ridge[-1] = 1e-6
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weight * (p - y)) + ridge * beta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
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
    rows, labels, weights, names = [], [], [], []
    for path in args.cases:
        cases = [
            c for c in read_cases(path)
            if c.mended and c.merged_at < args.before and not c.reverted and c.files >= 2 and len(c.mended) < c.hunks
        ][-args.most :]  # fmt: skip
        for case in cases:
            patch = from_card(store, case.id)
            history = read_history(store, patch)
            mended = {(m.path, m.hunk) for m in case.mended}
            hunks = [(f, h) for f in patch.files for h in f.hunks]
            for file, hunk in hunks:
                held = features(patch.as_of, patch, history, file, hunk)
                names = list(held)
                rows.append([held[n] for n in names])
                labels.append(float((hunk.path, hunk.header) in mended))
                weights.append(8.0 / len(hunks))
    x, y, w = np.array(rows), np.array(labels), np.array(weights)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    beta = fit((x - mean) / spread, y, w)
    plain = beta[:-1] / spread
    intercept = float(beta[-1] - (plain * mean).sum())
    for name, value, scaled in sorted(zip(names, plain, beta, strict=False), key=lambda t: -abs(t[2])):
        print(f"{name:16s} {value:8.3f}  standardised {scaled:7.3f}")
    learned = {
        "intercept": round(intercept, 4),
        "weights": {n: round(float(v), 4) for n, v in zip(names, plain, strict=True)},
    }
    _OUT.write_bytes(msgspec.json.format(msgspec.json.encode(learned), indent=1) + b"\n")
    print(f"{len(y)} hunks, {int(y.sum())} mended; written to {_OUT.name}")


if __name__ == "__main__":
    main()
