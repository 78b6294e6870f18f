"""Everything that is read from the environment, and every place on disk. There is no configuration file."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A variable of the environment: what it sets and what stands in for it."""

    name: str
    what: str
    default: str


SETTINGS = (
    Setting("PRLORE_KB", "the knowledge base: a folder, or any address LanceDB takes (`s3://…`)", "the user data folder, `prlore/kb`"),
    Setting("PRLORE_STORAGE_OPTIONS", "LanceDB's storage options for a knowledge base on object storage, `timeout=90s,region=eu-central-1`; no secrets", "60 s a request, ten retries"),
    Setting("PRLORE_KB_LEASE", "seconds for which a writer to a knowledge base on object storage holds it without a sign of life", "60"),
    Setting("AWS_ACCESS_KEY_ID", "with `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`: object storage, as for the storage's own tools (`GOOGLE_…`, `AZURE_…` as well)", "none"),
    Setting("PRLORE_CACHE", "where parsed traces and the arrays that answer questions are kept", "the user cache folder, `prlore`"),
    Setting("PRLORE_MCP_TOKEN", "the secret that callers of `prlore mcp --http` send as `Authorization: Bearer …`", "none; needed when `--host` is not loopback"),
    Setting("PRLORE_LLM_BASE_URL", "an OpenAI-compatible endpoint for reviews by a model, up to and with `/v1`", "none"),
    Setting("PRLORE_LLM_MODEL", "the model's name there", "none"),
    Setting("PRLORE_LLM_API_KEY", "its key, sent as a bearer token", "none"),
    Setting("PRLORE_LLM_PRICE", "USD per million tokens, in and out: `0.27,1.10`", "none; needed for `--max-usd`"),
    Setting("PRLORE_LLM_TIMEOUT", "seconds an answer may take", "600"),
    Setting("PRLORE_STEP", "set by `prlore loop` for what it starts, so that left-overs are found; not for people", "unset"),
    Setting("PRLORE_TRACE_ARMS", "a file in which simulated campaigns note every measured arm; for tests", "unset"),
    Setting("GITHUB_TOKEN", "token for GitHub's API; histories need none", "`GH_TOKEN`, then `gh auth token`"),
    Setting("GH_TOKEN", "the same, asked second", "`gh auth token`"),
    Setting("GIT_SSL_CAINFO", "certificates for git, the only git variable that is passed on, with the next", "git's own"),
    Setting("GIT_SSL_CAPATH", "a folder of certificates for git", "git's own"),
    Setting("NO_COLOR", "no colours on a terminal either; in pipes there are none", "unset"),
    Setting("EDITOR", "editor of `prlore card edit`; `VISUAL` goes before it", "the system's"),
)  # fmt: skip

PLACES = (
    ("`$XDG_DATA_HOME/prlore/kb`, macOS `~/Library/Application Support/prlore/kb`", "the knowledge base, with GitHub's answers in `pages/`"),
    ("`$XDG_CACHE_HOME/prlore`", "parsed traces, mirrors of histories that were named by URL; may be removed at any time"),
    ("`$XDG_STATE_HOME/prlore`", "the journal of model reviews, which clone `--checkout` named last"),
    ("`.claude/skills/prlore`, `.agents/skills/prlore`, `.cursor/skills/prlore`", "the skill that `prlore install` puts in the home folder or a project"),
)  # fmt: skip


def configuration_page() -> str:
    """The page of settings and places."""
    lines = [
        "# Settings and places", "",
        "There is no configuration file: a command line says everything, and what does not change stands in the environment.",
        "Secrets are read from the environment alone, so that they stand in no history of a shell and no log.", "",
        "| variable | what it sets | without it |", "|---|---|---|",
        *(f"| `{s.name}` | {s.what} | {s.default} |" for s in SETTINGS), "",
        "Any option of a command can be set as `PRLORE_COMMAND_OPTION`, for example `PRLORE_QUERY_LIMIT=20` for",
        "`prlore query --limit 20`. What is typed wins.", "",
        "| place | what is kept there |", "|---|---|", *(f"| {place} | {what} |" for place, what in PLACES), "",
    ]  # fmt: skip
    return "\n".join(lines)
