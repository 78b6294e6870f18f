"""Figures of one arm, from its raw rows alone: what a server says about itself never enters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from loop.records import ArmMetrics, RequestRow

_ROW = msgspec.json.Decoder(RequestRow)


def encode_rows(rows: Sequence[RequestRow]) -> bytes:
    """Raw rows as JSON lines, as they are stored."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def decode_rows(raw: bytes) -> tuple[RequestRow, ...]:
    """The other way round.

    Raises:
        msgspec.DecodeError: these are no rows.
    """
    return tuple(_ROW.decode(line) for line in raw.splitlines())


def arm_metrics(rows: Sequence[RequestRow], cpu_s: float | None = None) -> ArmMetrics:
    """Figures over the requests that ended well; an arm without any has throughput 0.

    Throughput is per second from the first request sent to the last one done. TPOT is (done - first) / (tokens - 1)
    of one request, so it needs two tokens.
    """
    good = [row for row in rows if row.ok]
    tokens = sum(row.output_tokens for row in good)
    span = (max(r.done_ns for r in good) - min(r.sent_ns for r in good)) / 1e9 if good else 0.0
    ttft = sorted((row.first_ns - row.sent_ns) / 1e6 for row in good)
    tpot = sorted(
        (row.done_ns - row.first_ns) / 1e6 / (row.output_tokens - 1) for row in good if row.output_tokens > 1
    )
    return ArmMetrics(
        output_throughput=tokens / span if span > 0 else 0.0,
        request_throughput=len(good) / span if span > 0 else 0.0,
        success_rate=len(good) / len(rows) if rows else 0.0,
        p50_ttft_ms=quantile(ttft, 0.50),
        p99_ttft_ms=quantile(ttft, 0.99),
        p50_tpot_ms=quantile(tpot, 0.50),
        p99_tpot_ms=quantile(tpot, 0.99),
        output_tokens=tokens,
        seconds=span,
        cpu_seconds_per_token=cpu_s / tokens if cpu_s is not None and tokens else None,
    )


def quantile(ordered: Sequence[float], q: float) -> float:
    """Linear between neighbours (type 7) of a sorted sequence; 0.0 of none."""
    if not ordered:
        return 0.0
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
