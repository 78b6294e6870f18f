"""Knowledge bases on object storage: which addresses are taken, how LanceDB is set up for them, what its failures mean.

Credentials come from the environment alone, under the names that the storage's own tools use (`AWS_…`, `GOOGLE_…`,
`AZURE_…`). They are never part of an address, and every text that leaves here has their values taken out.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from kb.location import StoreError, first_line

_DEFAULTS = {
    "connect_timeout": "5s",
    "timeout": "60s",  # of one request; a part of a large file takes seconds on a slow line
    "client_max_retries": "10",  # of 5xx, throttling and broken connections, with growing pauses
    "client_retry_timeout": "180",  # seconds after which a request is given up
}
_SECRET_NAME = re.compile(r"(?i)secret|token|password|sas|credential|access_?key|account_?key|private")
_SECRET_ENVIRONMENT = re.compile(r"^(AWS|GOOGLE|AZURE|OBJECT_STORE|R2|MINIO)_")
# what a failure says -> what a user can do; the first that fits counts
_REASONS = (
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidClientTokenId|ExpiredToken|status: 401|Unauthorized|Unauthenticated",
     "the credentials are not taken: see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of the other storages"),
    (r"AccessDenied|AuthorizationFailure|status: 403|Forbidden|PermissionDenied", "the credentials don't allow this"),
    (r"[Cc]redential|169\.254\.169\.254|CredentialsNotLoaded", "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of the other storages"),
    (r"dns error|tcp connect error|[Cc]onnection refused|ConnectError|kind: Connect", "it can't be reached: see AWS_ENDPOINT_URL and AWS_REGION"),
    (r"URL scheme is not allowed|InvalidUrl|BadScheme", "plain http needs AWS_ALLOW_HTTP=true"),
    (r"status: 5\d\d|SlowDown|ServiceUnavailable|InternalError|status: 429", "it answers with errors: try again"),
    (r"[Tt]imed out|kind: Timeout|deadline has elapsed", "it does not answer in time: try again"),
    (r"[Cc]ommit conflict|[Rr]etryable|Too many concurrent|Incompatible", "another prlore wrote at the same time: run it again"),
)  # fmt: skip


def is_remote(uri: str) -> bool:
    """Whether a knowledge base is an address and no folder."""
    return "://" in uri


def check_address(uri: str) -> None:
    """Refuse an address that holds a secret, without showing it.

    Raises:
        StoreError: it has a user, a password or a query.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StoreError(
            f"--kb {parts.scheme}://… must hold no credentials and no query: put them into the environment "
            "(AWS_ACCESS_KEY_ID, AZURE_STORAGE_SAS_KEY …)"
        )


def storage_options() -> dict[str, str]:
    """LanceDB's storage options: ours, and over them `PRLORE_STORAGE_OPTIONS`, `name=value` with commas between.

    Raises:
        StoreError: an entry is none, or is a secret, which has a variable of its own.
    """
    options = dict(_DEFAULTS)
    for entry in filter(None, (e.strip() for e in os.environ.get("PRLORE_STORAGE_OPTIONS", "").split(","))):
        name, equals, value = entry.partition("=")
        name = name.strip().lower()
        if not equals or not re.fullmatch(r"[a-z0-9_]+", name):
            raise StoreError(
                "PRLORE_STORAGE_OPTIONS is no list of name=value: write timeout=90s,region=eu-central-1"
            )
        if _SECRET_NAME.search(name):
            raise StoreError(
                f"PRLORE_STORAGE_OPTIONS must not hold {name}: set the storage's own variable, AWS_SECRET_ACCESS_KEY for S3"
            )
        options[name] = value.strip()
    return options


def without_secrets(text: str) -> str:
    """A text with the values of credentials of the environment taken out."""
    for name, value in os.environ.items():
        if len(value) >= 4 and _SECRET_ENVIRONMENT.match(name) and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


def failure(uri: str, exc: BaseException) -> StoreError:
    """A failure of the storage as one line that names the remedy."""
    said = str(exc)
    for pattern, reason in _REASONS:
        if re.search(pattern, said):
            return StoreError(f"{uri}: {reason}")
    short = first_line(exc) if isinstance(exc, Exception) else type(exc).__name__
    return StoreError(without_secrets(f"{uri}: {short}"))
