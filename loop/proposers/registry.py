"""Proposers by kind, made anew in each step's process from the spec's words. No option is a secret: keys come from the environment.

backport   settle = "llm": a model settles a conflict in one file
human      (patches come through `prlore loop submit`)
flags      sets = "--a 1; --b": whole sets of options, tried before the engine's own space
llm        base_url, model (else PRLORE_LLM_BASE_URL, PRLORE_LLM_MODEL); the key is PRLORE_LLM_API_KEY
agent      agent = claude | codex | aider | opencode | mini, model; or template, keys (names of variables), stdin = "yes"
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingest.errors import PrloreError
from kb.llm.settings import settings_from
from loop.engines.registry import engine_named
from loop.engines.space import space_of
from loop.kernels.hint import KernelHints
from loop.proposers.agent.presets import PRESETS, Preset, words_of
from loop.proposers.agent.proposer import AgentProposer
from loop.proposers.backport.proposer import BackportProposer
from loop.proposers.backport.pulls import CardPulls
from loop.proposers.flags import FlagsProposer
from loop.proposers.handing_in import Desk
from loop.proposers.human import HumanProposer
from loop.proposers.llm.asking import Model
from loop.proposers.llm.proposer import LlmProposer, LlmSettler
from loop.protocols import Proposer
from loop.records import CampaignSpec, Launch, PatchProposal, ProposerSpec
from loop.retrieval.base import KnowledgeBase
from loop.sandbox.templates import Template, parse_template


class ProposerError(PrloreError):
    """A proposer of the spec that can't be made; the message says what is missing."""


@dataclass(frozen=True)
class Surroundings:
    """What proposers are made with.

    Attributes:
        kb: opens the knowledge base.
        tried: earlier proposals of the campaign.
        launch: the incumbent's; `searched` are those of its flags that a search or a proposal chose.
        scratch: an empty folder of this step.
    """

    spec: CampaignSpec
    desk: Desk
    kb: Callable[[], KnowledgeBase]
    launch: Launch
    scratch: Path
    searched: tuple[str, ...] = ()
    tried: tuple[PatchProposal, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def proposer_of(wanted: ProposerSpec, around: Surroundings) -> Proposer:
    """The proposer that a spec asks for.

    Raises:
        ProposerError: it lacks an option, or there is none of that kind here.
        LlmSettingsError: no usable endpoint is named.
    """
    options = dict(wanted.options)
    makers: dict[str, Callable[[], Proposer]] = {
        "backport": lambda: _backport(options, around),
        "flags": lambda: _flags(options, around),
        "llm": lambda: LlmProposer(around.desk, _model(options, around), _kernels(options, around)),
        "agent": lambda: _agent(options, around),
    }
    if wanted.kind not in makers:
        raise ProposerError(f"{wanted.kind} hands in nothing by itself; there are {', '.join(makers)}")
    return makers[wanted.kind]()


def submitted(around: Surroundings, patch: bytes, author: str) -> Proposer:
    """The proposer for a person's patch."""
    return HumanProposer(around.desk, patch, author)


def _backport(options: Mapping[str, str], around: Surroundings) -> BackportProposer:
    base = around.kb()
    settle = options.get("settle", "")
    if settle not in ("", "llm"):
        raise ProposerError(f"backport: settle = {settle!r}: only a model, `llm`, settles conflicts")
    settler = LlmSettler(around.desk, _model(options, around)) if settle else None
    pulls = CardPulls(base.cards, base.searcher, around.spec.target.name)
    return BackportProposer(around.desk, pulls, around.tried, settler)


def _flags(options: Mapping[str, str], around: Surroundings) -> FlagsProposer:
    launch = around.launch
    fixed = tuple(word.split("=")[0] for word in around.spec.target.flags if word.startswith("-"))
    space = space_of(launch.engine, launch.device, engine_named(launch.engine).options(launch), fixed)
    sets = options.get("sets", "")
    parts = words_of(sets) if sets.startswith("[") else sets.split(";")
    listed = [words for part in parts if (words := part.split())]
    return FlagsProposer(around.desk, space, around.searched, listed, around.tried)


def _model(options: Mapping[str, str], around: Surroundings) -> Model:
    named = {"PRLORE_LLM_BASE_URL": options.get("base_url", ""), "PRLORE_LLM_MODEL": options.get("model", "")}
    return Model(settings_from({**around.environment, **{k: v for k, v in named.items() if v}}), around.desk)


def _kernels(options: Mapping[str, str], around: Surroundings) -> KernelHints:
    counters, baseline = (
        [Path(word) for word in words_of(options.get(name, ""))] for name in ("counters", "baseline")
    )
    desk = around.desk
    return KernelHints(around.spec, desk.trees, desk.blobs, around.launch, around.scratch, counters, baseline)


def _agent(options: Mapping[str, str], around: Surroundings) -> AgentProposer:
    if "template" in options:
        written = options["template"]
        template = Template(words_of(written)) if written.startswith("[") else parse_template(written)
        preset = Preset(template, words_of(options.get("keys", "")), options.get("stdin", "") == "yes")
    else:
        name = options.get("agent", "")
        if name not in PRESETS:
            raise ProposerError(
                f"agent: no preset {name!r}; there are {', '.join(PRESETS)}, or give a template"
            )
        preset = PRESETS[name]
    model = options.get("model", "")
    if "model" in preset.template.slots and not model:
        raise ProposerError('agent: name its model with model = "…"')
    return AgentProposer(
        around.desk, preset, model, around.scratch / "agent", around.environment, _kernels(options, around)
    )
