"""From what a user names to the patch under review: a file or stdin, a range of commits, a merged pull request of the store.

With a clone at hand the whole text of each file is read as well, so that definitions are exact and names outside the
diff can be looked up. Nothing of a clone is ever checked out or run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest.diffs import decode, parse_hunks
from ingest.edits import apply_edits, edits_of, line_starts, reversed_edits
from ingest.errors import DiffMismatch, GitFailed, PrloreError
from ingest.git import Repository, open_repository
from ingest.logstream import RawFile, changes_between
from ingest.patches import LARGEST_PATCH, PatchedFile, read_patch
from ingest.paths import language_of
from ingest.records import CommitHead, Hunk, Symbol
from ingest.subjects import parse_subject
from ingest.symbols import symbols_between
from ingest.trees import Tree, read_tree
from kb.cards import decode_card
from kb.critique.drafts import Checkout
from kb.critique.findings import Record
from kb.critique.patch import Patch, patch_of_card, patch_of_files
from kb.distill import utc
from kb.families import Families
from kb.filters import one_of
from kb.references import parse_card_id
from kb.store import Store
from kb.stored_diff import hunk_lines, stored_diffs

_FILES_READ = 300  # whole files of one patch
_LARGEST = 2 << 20


class ReviewError(PrloreError):
    """What is named can't be reviewed."""


class Source(Record, frozen=True, kw_only=True):
    """Old and new text of a file, None where it is not there or not known."""

    old: bytes | None = None
    new: bytes | None = None


def from_file(
    path: Path, store: Store, families: Families, repo: str = "", as_of: str = "", title: str = ""
) -> Patch:
    """The patch in a file, `-` for standard input.

    Raises:
        ReviewError: the file can't be read.
        PatchError: it is no patch.
    """
    try:
        raw = sys.stdin.buffer.read(LARGEST_PATCH + 1) if str(path) == "-" else path.read_bytes()
    except OSError as exc:
        raise ReviewError(
            f"can't read {path}: {exc.strerror}; give a patch file, `-`, --rev or --pr"
        ) from exc
    subject = "standard input" if str(path) == "-" else path.name
    return from_bytes(raw, subject, store, families, repo, as_of, title)


def from_bytes(
    raw: bytes,
    subject: str,
    store: Store,
    families: Families,
    repo: str = "",
    as_of: str = "",
    title: str = "",
) -> Patch:
    """The patch in a text.

    Raises:
        PatchError: it is no patch.
        ReviewError: no repository is named, and the store does not tell.
    """
    read = read_patch(raw)
    repo = repo or infer_repo(store, [n for f in read.files for n in (f.path, f.old_path)])
    said = parse_subject(CommitHead("", (), "", title or read.title, read.message)).title
    return patch_of_files(subject, repo, said, read.message, read.files, families, as_of=as_of)


def from_card(store: Store, card_id: str) -> Patch:
    """A merged pull request of the store, as of its merge.

    Raises:
        ReviewError: the store has no such card, or not its diff.
    """
    reference = parse_card_id(card_id)
    ids = store.cards_of_number(reference.number, reference.repo or None) if reference else []
    if len(ids) != 1:
        many = f" ({', '.join(ids[:3])})" if ids else ""
        raise ReviewError(
            f"{card_id} names {len(ids)} cards of the knowledge base{many}: write owner/name#N of one it holds"
        )
    card = decode_card(store.cards_by_id(ids, ["card"])["card"][0].as_py())
    patch = patch_of_card(card, stored_diffs(store, [card])[card.id])
    if not any(True for _ in patch.hunks):
        raise ReviewError(f"{card.id}: the knowledge base does not hold its diff; give the patch itself")
    return patch


def from_range(
    repository: Repository, rev: str, store: Store, families: Families, repo: str = "", as_of: str = ""
) -> Patch:
    """The change of a range `A..B` (against their merge base), or of one commit.

    Raises:
        RepositoryError: a revision is none.
        ReviewError: nothing changes in it, or git lacks objects for it.
    """
    base, head = _ends(repository, rev)
    try:
        raw = changes_between(repository, base, head)
    except GitFailed as exc:
        raise ReviewError(
            f"git can't read the diff of {rev}: {exc.stderr.splitlines()[-1] if exc.stderr else exc}"
        ) from exc
    if not raw:
        raise ReviewError(f"nothing changes in {rev}: name another range")
    files = [_patched(f) for f in raw]
    sources = {f.entry.path: _blobs(repository, f) for f in raw[:_FILES_READ]}
    heads = _commits(repository, base, head)
    title, message = _said(heads)
    repo = repo or infer_repo(store, [f.path for f in files])
    own = _own(store, repo, [h.sha for h in heads])
    subject = f"{head[:12]}" if ".." not in rev else rev
    return _with_sources(
        subject, repo, title, message, files, families, sources,
        as_of=as_of or utc(heads[-1].committed_at), own=own, head=head,
    )  # fmt: skip


def _ends(repository: Repository, rev: str) -> tuple[str, str]:
    left, dots, right = rev.partition("...") if "..." in rev else rev.partition("..")
    if not dots:
        head = repository.resolve(rev)
        parents = repository.run("rev-parse", f"{head}^@").decode().split()
        empty = repository.run("hash-object", "-t", "tree", "--stdin", stdin=b"").decode().strip()
        return (parents[0] if parents else empty), head
    first, head = repository.resolve(left or "HEAD"), repository.resolve(right or "HEAD")
    try:
        return repository.run("merge-base", first, head).decode().split()[0], head
    except (GitFailed, IndexError):
        return first, head


def _patched(raw: RawFile) -> PatchedFile:
    e = raw.entry
    try:
        hunks = parse_hunks(raw.patch, e.added, e.removed)
    except DiffMismatch:
        hunks = ()
    return PatchedFile(e.path, e.old_path, e.status, raw.patch, hunks, e.added is None)


def _blobs(repository: Repository, raw: RawFile) -> Source:
    e = raw.entry
    if e.added is None or language_of(e.path) is None or e.new_mode in ("120000", "160000"):
        return Source()
    return Source(old=_blob(repository, e.old_blob), new=_blob(repository, e.new_blob))


def _blob(repository: Repository, name: str) -> bytes | None:
    if name.strip("0") == "":
        return None
    try:
        source = repository.run("cat-file", "blob", name)
    except GitFailed:
        return None
    return source if len(source) <= _LARGEST else None


def _commits(repository: Repository, base: str, head: str) -> list[CommitHead]:
    """The commits of a range, oldest first; the head alone when the base is a tree."""
    form = "--format=tformat:%H%x00%P%x00%cI%x00%s%x00%b%x00"
    try:
        out = repository.run(
            "log", "--first-parent", "--reverse", "-n200", "-z", form, head, f"^{base}", "--"
        )
    except GitFailed:
        out = repository.run("log", "-1", "-z", form, head, "--")
    fields = out.decode("utf-8", "replace").split("\0")
    rows = [fields[i : i + 5] for i in range(0, len(fields) - 5, 6)]
    return [CommitHead(n.strip(), tuple(p.split()), d, s, b.strip()) for n, p, d, s, b in rows]


def _said(heads: Sequence[CommitHead]) -> tuple[str, str]:
    if not heads:
        return "", ""
    if len(heads) == 1:
        return parse_subject(heads[0]).title, heads[0].body
    return parse_subject(heads[0]).title, "\n".join(f"{h.subject}\n{h.body}".strip() for h in heads)


def _own(store: Store, repo: str, shas: Sequence[str]) -> tuple[str, ...]:
    """Cards of the store that are commits of the range."""
    if not shas or not repo:
        return ()
    rows = store.rows_where("commits", f"{one_of('repo', [repo])} AND {one_of('sha', shas)}", ["number"])
    return tuple(sorted(f"{repo}#{n}" for n in rows["number"].to_pylist() if n is not None))


def infer_repo(store: Store, paths: Sequence[str]) -> str:
    """The repository whose cards touch most of some paths.

    Raises:
        ReviewError: none does, and the store holds several.
    """
    table = store.scan("cards", ["repo", "path_text"])
    lines = pc.split_pattern(table["path_text"].combine_chunks(), "\n")
    flat = pc.utf8_slice_codeunits(pc.list_flatten(lines), 1)
    parents = pc.list_parent_indices(lines).filter(
        pc.is_in(flat, pa.array(list(dict.fromkeys(paths)), pa.string()))
    )
    counts = table["repo"].combine_chunks().take(parents).value_counts().to_pylist()
    ranked = sorted(counts, key=lambda c: (-c["counts"], c["values"]))
    if ranked:
        return str(ranked[0]["values"])
    held = sorted(set(table["repo"].to_pylist()))
    if len(held) == 1:
        return str(held[0])
    raise ReviewError(
        f"no pull request of the knowledge base touches these files: name the repository with --repo ({', '.join(held) or 'it holds none'})"
    )


def _with_sources(
    subject: str, repo: str, title: str, message: str, files: Sequence[PatchedFile], families: Families,
    sources: dict[str, Source], **more: object,
) -> Patch:  # fmt: skip
    """A patch whose files' texts are known as far as `sources` has them."""
    symbols: dict[str, tuple[Symbol, ...]] = {}
    texts: dict[str, tuple[bytes | None, bytes | None]] = {}
    for f in files:
        source, language = sources.get(f.path, Source()), language_of(f.path)
        if language is None or not f.hunks or (source.old is None and source.new is None):
            continue
        found = symbols_between(language, source.old, source.new, f.patch)
        if found is not None:
            symbols[f.path] = found
            texts[f.path] = (source.old, source.new)
    return patch_of_files(subject, repo, title, message, files, families, symbols, texts, **more)


@contextmanager
def checkout_tree(path: Path) -> Iterator[Tree]:
    """The tree of a clone's HEAD.

    Raises:
        RepositoryError: there is no clone, or it has no commit.
    """
    with open_repository(path) as repository:
        yield read_tree(repository, "HEAD")


def in_checkout(
    patch: Patch, files: Sequence[PatchedFile], tree: Tree, families: Families
) -> tuple[Patch, Checkout]:
    """The patch with the text of its files from a clone that has it applied, or that it applies to.

    Returns:
        The patch, and the clone as a place to look things up in.
    """
    sources: dict[str, Source] = {}
    strangers: list[str] = []
    is_after = True
    for f in files[:_FILES_READ]:
        if not f.hunks or language_of(f.path) is None:
            continue
        source = _fitting(f, tree)
        if source is None:
            strangers.append(f.path)
        else:
            sources[f.path] = source
            is_after = is_after and (source.new is None or tree.read(f.path) == source.new)
    made = _with_sources(
        patch.subject, patch.repo, patch.title, patch.message, files, families, sources,
        as_of=patch.as_of, own=patch.own, head=patch.head,
    )  # fmt: skip
    return made, Checkout(tree, is_after and not strangers, tuple(strangers))


def _fitting(file: PatchedFile, tree: Tree) -> Source | None:
    """Both texts of a file, from whichever of them the clone has."""
    edits = edits_of(file.patch)
    if file.status != "deleted" and tree.has(file.path):
        new = tree.read(file.path)
        if len(new) <= _LARGEST and _stands(new, file.hunks, "+"):
            old = (
                None if file.status == "added" else apply_edits(new, line_starts(new), reversed_edits(edits))
            )
            return Source(old=old, new=new)
    if file.status == "added":
        return Source(new=apply_edits(b"", line_starts(b""), edits))
    if tree.has(file.old_path):
        old = tree.read(file.old_path)
        if len(old) <= _LARGEST and _stands(old, file.hunks, "-"):
            new_text = None if file.status == "deleted" else apply_edits(old, line_starts(old), edits)
            return Source(old=old, new=new_text)
    return None


def _stands(source: bytes, hunks: Sequence[Hunk], mark: str) -> bool:
    """Whether one side of every hunk, context included, stands in a text where its header says."""
    lines = decode(source).split("\n")
    for hunk in hunks:
        first, count = (hunk.new_start, hunk.new_lines) if mark == "+" else (hunk.old_start, hunk.old_lines)
        at = first - 1 if count else first
        wanted = [row[1:] for row in hunk_lines(hunk) if row[:1] in (mark, " ", "")]
        if lines[at : at + count] != wanted:
            return False
    return True


def patched_files(patch: Patch) -> list[PatchedFile]:
    """The files of a patch as they would be read from its text."""
    return [
        PatchedFile(
            f.path, f.old_path, f.status,
            b"".join(f"{h.header}\n{h.hunk.text}".encode("utf-8", "surrogatepass") for h in f.hunks),
            tuple(h.hunk for h in f.hunks),
        )
        for f in patch.files
    ]  # fmt: skip
