"""What a campaign stores: frozen artefacts, each named by the sha256 of its canonical JSON.

An artefact says everything that a verdict rests on, so that the verdict can be computed again from the stored
artefacts alone. Large things (raw rows, diffs, traces, logs) stand in the campaign's content store and are named
here by their digest. Times are seconds or ns as the field says, shares and gains are fractions (0.03 is 3 %).
"""

from __future__ import annotations

from loop.artefacts.frozen import (
    Budgets,
    CampaignSpec,
    EngineSpec,
    ModelSpec,
    Policy,
    ProposerSpec,
    Sla,
    Workload,
)
from loop.artefacts.identity import (
    A,
    Artefact,
    Digest,
    MetricName,
    Outcome,
    Part,
    ProposerKind,
    Stage,
    Word,
    canonical,
    decode,
)
from loop.artefacts.measured import (
    ArmMetrics,
    ArmRun,
    BenchBlock,
    Comparison,
    EngineBuild,
    HostState,
    Launch,
    RequestRow,
    RuntimeIdentity,
    SideMetric,
    TreeRef,
)
from loop.artefacts.rounds import (
    CardQuote,
    Cost,
    Declined,
    EvidenceBundle,
    GateResult,
    LedgerRow,
    PatchProposal,
    ProfileDigest,
    ProfileRow,
    RowKind,
    Verdict,
)

__all__ = [
    "A",
    "ArmMetrics",
    "ArmRun",
    "Artefact",
    "BenchBlock",
    "Budgets",
    "CampaignSpec",
    "CardQuote",
    "Comparison",
    "Cost",
    "Declined",
    "Digest",
    "EngineBuild",
    "EngineSpec",
    "EvidenceBundle",
    "GateResult",
    "HostState",
    "Launch",
    "LedgerRow",
    "MetricName",
    "ModelSpec",
    "Outcome",
    "Part",
    "PatchProposal",
    "Policy",
    "ProfileDigest",
    "ProfileRow",
    "ProposerKind",
    "ProposerSpec",
    "RequestRow",
    "RowKind",
    "RuntimeIdentity",
    "SideMetric",
    "Sla",
    "Stage",
    "TreeRef",
    "Verdict",
    "Word",
    "Workload",
    "canonical",
    "decode",
]
