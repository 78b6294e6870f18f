"""A campaign's surroundings for gates, made of real parts: a git repository, trees over it, a content store in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ingest.errors import PrloreError
from loop.protocols import GateContext
from loop.records import CampaignSpec, EngineSpec, ModelSpec, PatchProposal, TreeRef, Workload
from loop.trees.campaign import CampaignTrees
from loop.trees.store import EXECUTABLE, FILE, SUBMODULE, SYMLINK, Entry


class FolderBlobs:
    """The content store as the protocol says, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, raw: bytes) -> str:
        digest = hashlib.sha256(raw).hexdigest()
        (self.folder / digest).write_bytes(raw)
        return digest

    def get(self, digest: str) -> bytes:
        path = self.folder / digest
        if not digest or not path.is_file():
            raise PrloreError(f"no blob {digest!r}")
        return path.read_bytes()


class Stage:
    """An engine's repository and everything that a gate or a proposer is given."""

    def __init__(self, repo, folder: Path, files: dict[str, bytes]) -> None:
        repo.commit("Start", dict(files))
        self.repo = repo
        self.folder = folder
        self.trees = CampaignTrees(folder / "trees")
        self.blobs = FolderBlobs(folder / "blobs")
        self.base = self.trees.resolve(str(repo.path), repo.head())
        self.spec = CampaignSpec(
            name="stage",
            target=EngineSpec("fake", str(repo.path), self.base.commit),
            model=ModelSpec("model"),
            workloads=(Workload("chat", input_len=32, output_len=16, num_prompts=8, concurrency=4),),
        )

    def tree(self, files, parent: TreeRef | None = None) -> TreeRef:
        """The tree after a patch; see `Hostile.files`."""
        parent = parent or self.base
        store = self.trees.store(parent.repository)
        changes: dict[str, Entry | None] = {}
        for path, content in files.items():
            if content is None:
                changes[path] = None
            elif isinstance(content, str):
                kind, _, target = content.partition(" ")
                blob = parent.commit if kind == "commit" else store.add_blobs([target.encode()])[0]
                changes[path] = Entry(SUBMODULE if kind == "commit" else SYMLINK, blob)
            else:
                mode = EXECUTABLE if path.endswith(".sh") else FILE
                changes[path] = Entry(mode, store.add_blobs([content])[0])
        return self.trees.place(parent, store.with_entries(parent.tree, changes) if changes else parent.tree)

    def proposal(self, contents, parent: TreeRef | None = None, **fields) -> PatchProposal:
        """A proposal with a patch, as an honest proposer would fill it in."""
        parent = parent or self.base
        after = self.tree(contents, parent)
        diff = self.trees.diff(parent, after)
        paths = tuple(c.path for c in self.trees.changes(parent, after))
        values = {"claim": "faster", "evidence": "", "files": paths} | fields
        return PatchProposal("human", "1", parent, self.blobs.put(diff), **values)

    def context(self, proposal: PatchProposal, **fields) -> GateContext:
        """What a gate sees."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        values = {"spec": self.spec, "parent": proposal.parent} | fields
        return GateContext(proposal=proposal, blobs=self.blobs, trees=self.trees, scratch=scratch, **values)
