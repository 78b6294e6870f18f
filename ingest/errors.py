"""What can go wrong while reading a history, as a user should see it.

PrloreError                 any error with a one-line message and a remedy; the CLI exits with 2
+-- RepositoryError         not a git repository, unknown revision, clone refused
+-- GitFailed               git ended with an error that is not a missing object
+-- WorkerLost              a worker process was ended from outside
+-- DiffMismatch            a parsed diff disagrees with numstat (a fault of ours, never skipped)
+-- GitHubError             GitHub refused, has no such thing, or could not be reached
    +-- GitHubUnavailable   no usable answer after several attempts
    +-- OffHost             an answer points to another host
"""

from __future__ import annotations


class PrloreError(Exception):
    """Base of every error a user should read as one line, without a traceback."""


class RepositoryError(PrloreError):
    """The named repository or revision can't be read."""


class GitFailed(PrloreError):
    """Git ended with an error status.

    Attributes:
        stderr: what git said, decoded.
    """

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class WorkerLost(PrloreError):
    """A process that reads diffs was killed, most often because the machine ran out of memory."""


class DiffMismatch(PrloreError):
    """Hunks of a file add up to other counts than `git --numstat` gives for it."""


class GitHubError(PrloreError):
    """GitHub refused a request, or has not what was asked for.

    Attributes:
        status: of the answer, 0 where it is not one answer's fault.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class GitHubUnavailable(GitHubError):
    """No usable answer came, however often it was asked for."""


class OffHost(GitHubError):
    """An answer sends us to another host; the token goes to none but the one that was named."""
