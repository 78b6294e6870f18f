"""What the source map and the manuals ask of a source tree, whoever answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from ingest.trees import Fate, Place, with_folders

Authority = Literal["git", "cards"]


class SourceTree:
    """Files of one repository at one moment.

    Attributes:
        repo: `owner/name`.
        authority: who knows: `git` (a revision was read) or `cards` (the store's pull requests were replayed).
        revision: full commit name, empty when the cards tell.
        day: date of the revision, or of the last pull request the cards know.
        paths: all files, sorted.
    """

    repo: str
    authority: Authority
    revision: str
    day: str
    paths: tuple[str, ...]

    @cached_property
    def entries(self) -> frozenset[str]:
        """All files and all folders, folders without a slash at the end."""
        return frozenset(with_folders(self.paths))

    def has(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return path.strip("/") in self.entries

    def is_folder(self, path: str) -> bool:
        """Whether a path is a folder."""
        return path.strip("/") in self.entries and path.strip("/") not in self._files

    @cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(self.paths)

    def under(self, folder: str) -> list[str]:
        """The files below a folder."""
        prefix = folder.strip("/") + "/"
        return [p for p in self.paths if p.startswith(prefix)]

    def definitions(self, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
        """Where plain names are defined."""
        raise NotImplementedError

    def mentions(self, names: Sequence[str], under: Sequence[str] = ()) -> dict[str, int] | None:
        """How often names stand in files, those that stand nowhere left out; None when that is not known."""
        return None

    def fate(self, path: str) -> Fate:
        """What became of a path that is not there."""
        raise NotImplementedError

    @property
    def says(self) -> str:
        """Which tree this is, for people."""
        if self.authority == "git":
            return f"{self.repo} at {self.revision[:12]} ({self.day}), read from git"
        return f"{self.repo} as the cards leave it on {self.day or 'an unknown day'}; no checkout was read"
