"""Makes a campaign: freezes the spec, commits to a seed, writes the first row."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from loop.campaign.database import Database, Entry
from loop.campaign.durable import write_whole
from loop.campaign.errors import CampaignError
from loop.campaign.folder import Folder
from loop.campaign.progress import Progress
from loop.campaign.seeds import Seeds
from loop.records import CampaignSpec
from loop.stats.eprocess import largest_e_value


def begin(path: Path, spec: CampaignSpec, seeds: Seeds | None = None, *, sync: bool = True) -> Folder:
    """A new campaign in an empty folder.

    Raises:
        CampaignError: the folder holds something, or the spec can't be driven.
    """
    if problem := unfit(spec):
        raise CampaignError(problem)
    folder = Folder(path.absolute(), sync)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CampaignError(f"{path} is not empty: name another folder with --into")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.spool.mkdir()
    seeds = seeds or Seeds.fresh()
    frozen = replace(
        spec,
        seed_commitment=seeds.commitment,
        workloads=tuple(replace(load, seed_commitment=seeds.commitment) for load in spec.workloads),
    )
    write_whole(folder.secret, seeds.secret, sync=sync)
    digest = folder.blobs().keep(frozen)
    database = Database(folder.database, sync=sync, make=True)
    try:
        database.begin(digest, Progress(), (Entry("init", digest, f"campaign {spec.name}"),))
    finally:
        database.close()
    return folder


def unfit(spec: CampaignSpec) -> str:
    """Why a spec can't be driven, empty when it can."""
    policy = spec.policy
    names = [load.name for load in spec.workloads]
    if not spec.workloads:
        return f"{spec.name}: there is no workload"
    if len(set(names)) != len(names):
        return f"{spec.name}: two workloads are called {sorted(names)[0]}"
    if any(load.num_prompts < 1 or load.output_len < 1 or load.input_len < 1 for load in spec.workloads):
        return f"{spec.name}: a workload needs at least one prompt and one token each way"
    if not 0 < policy.alpha < 1 or policy.max_candidates < 1 or policy.min_gain <= 0:
        return f"{spec.name}: alpha lies between 0 and 1, max_candidates from 1, min_gain above 0"
    if policy.pairs_per_restart < 1 or policy.aa_pairs < 4 or policy.max_pairs < policy.futility_from:
        return f"{spec.name}: at least 1 pair a restart, 4 A/A pairs, and max_pairs of futility_from or more"
    for name, pairs, level in (
        ("max_pairs", policy.max_pairs, policy.alpha / (policy.max_candidates + 1)),
        ("confirm_pairs", policy.confirm_pairs, policy.alpha),
    ):
        starts = pairs // policy.pairs_per_restart
        if largest_e_value(starts) < 1 / level:
            return (
                f"{spec.name}: {name} {pairs} are {starts} server starts of {policy.pairs_per_restart} pairs, which"
                f" can't show any gain at the level {level:.3g}: raise {name} or lower pairs_per_restart"
            )
    most = spec.budgets.candidates
    if most is not None and most > policy.max_candidates:
        return (
            f"{spec.name}: budgets.candidates {most} is above policy.max_candidates {policy.max_candidates}"
        )
    return ""
