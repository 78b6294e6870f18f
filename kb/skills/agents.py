"""Where each agent looks for skills, in a user's home or in a project, and how it is told of the MCP server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AgentName = Literal["claude", "codex", "cursor"]


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent.

    Attributes:
        folder: of its skills, below the home folder and below a project alike.
        mcp: how a person registers the MCP server with it.
    """

    name: AgentName
    folder: str
    mcp: str

    def skills(self, root: Path) -> Path:
        """Its skills below a home folder or a project."""
        return root / self.folder


AGENTS: dict[AgentName, Agent] = {
    "claude": Agent("claude", ".claude/skills", "claude mcp add prlore -- prlore mcp"),
    # Codex reads the folder that agents share
    "codex": Agent("codex", ".agents/skills", "codex mcp add prlore -- prlore mcp"),
    "cursor": Agent(
        "cursor",
        ".cursor/skills",
        'in .cursor/mcp.json: {"mcpServers": {"prlore": {"command": "prlore", "args": ["mcp"]}}}',
    ),
}
