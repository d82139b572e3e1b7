"""What an Azure server's, or the SDK's, error means for a storage operation.

Messages are made of the server's code, status and request id, never of its prose:
that quotes what was signed, and URLs with their signatures.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    AccessDeniedError,
    DataLossError,
    Executed,
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    PreconditionError,
    QuotaExceededError,
    StorageError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedMethodError,
)
from ..objectstore.meanings import Meaning, with_path

CLOCKS_DIFFER_SECONDS_MAX = 600.0
"""The service refuses requests that were signed a quarter of an hour ago."""
SECRET_EXPIRED = "AADSTS7000222"
_ENTRA_CODE = re.compile(r"AADSTS\d{4,10}")


class BrokenBodyError(UnavailableError):
    """The connection was lost in the middle of a body, which the SDK does not retry."""


_GONE = Meaning(PathNotFoundError)
_NO_CONTAINER = Meaning(
    UnavailableError, "the container does not exist", False, Executed.NO
)
_ACCOUNT_OFF = Meaning(UnavailableError, "the account is disabled", False, Executed.NO)
_KEYS = Meaning(AccessDeniedError, "check the credentials")
_EXPIRED = Meaning(AccessDeniedError, "the credentials have expired: renew them")
_CLOCK = Meaning(AccessDeniedError, "the clocks differ: check this machine's time")
_ROLE = Meaning(AccessDeniedError, "check the role, the network rules and the token")
_LEASED = Meaning(AccessDeniedError, "somebody holds a lease on the blob")
_IMMUTABLE = Meaning(AccessDeniedError, "a policy keeps the blob from changing")
_CHANGED = Meaning(PreconditionError)
_OTHER_TYPE = Meaning(PathConflictError, "a blob of another type is there")
_SLOW = Meaning(ThrottledError)
_BROKEN = Meaning(UnavailableError)
_BROKEN_BODY = Meaning(BrokenBodyError, "the connection was lost")
_DAMAGED = Meaning(
    DataLossError, "the body was damaged on its way", True, Executed.NO
)  # fmt: skip
_CANNOT = Meaning(UnsupportedMethodError, "the server does not offer this")
_SOURCE = Meaning(UnsupportedMethodError, "the service cannot read the source itself")
_ARCHIVED = Meaning(
    UnavailableError, "the blob is archived: rehydrate it first", False, Executed.NO
)

BY_CODE: dict[str, Meaning] = {
    "BlobNotFound": _GONE,
    "ResourceNotFound": _GONE,
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerDisabled": _NO_CONTAINER,
    "ContainerBeingDeleted": Meaning(
        UnavailableError, "the container is being deleted", True, Executed.NO
    ),
    "AccountIsDisabled": _ACCOUNT_OFF,
    "InvalidRange": Meaning(InvalidOffsetError),
    "ConditionNotMet": _CHANGED,
    "SourceConditionNotMet": _CHANGED,
    "TargetConditionNotMet": _CHANGED,
    "BlobAlreadyExists": _CHANGED,
    "InvalidBlockList": Meaning(
        PreconditionError, "another commit dropped the blocks", True
    ),
    "InvalidBlobOrBlock": Meaning(
        PreconditionError, "blocks of another program are in the way", True
    ),
    "PendingCopyOperation": Meaning(
        PreconditionError, "a copy onto the blob is under way", True
    ),
    "InvalidBlobType": _OTHER_TYPE,
    "CannotVerifyCopySource": _SOURCE,
    "CopyAcrossAccountsNotSupported": _SOURCE,
    "LeaseIdMissing": _LEASED,
    "LeaseIdMismatchWithBlobOperation": _LEASED,
    "BlobImmutableDueToPolicy": _IMMUTABLE,
    "BlobImmutableDueToLegalHold": _IMMUTABLE,
    "AuthenticationFailed": _KEYS,
    "InvalidAuthenticationInfo": _KEYS,
    "AuthorizationFailure": _KEYS,
    "NoAuthenticationInformation": _KEYS,
    "AuthorizationPermissionMismatch": _ROLE,
    "AuthorizationSourceIPMismatch": _ROLE,
    "AuthorizationProtocolMismatch": _ROLE,
    "AuthorizationServiceMismatch": _ROLE,
    "AuthorizationResourceTypeMismatch": _ROLE,
    "InsufficientAccountPermissions": _ROLE,
    "UnauthorizedBlobOverwrite": _ROLE,
    "PublicAccessNotPermitted": _KEYS,
    "BlobArchived": _ARCHIVED,
    "BlobBeingRehydrated": _ARCHIVED,
    "BlockCountExceedsLimit": Meaning(TooLargeError, "raise 'chunksize'"),
    "BlockListTooLong": Meaning(TooLargeError, "raise 'chunksize'"),
    "RequestBodyTooLarge": Meaning(TooLargeError, "lower 'chunksize'"),
    "InvalidResourceName": Meaning(InvalidPathError, "the server refuses this name"),
    "OutOfRangeInput": Meaning(InvalidPathError, "too long for the server"),
    "Md5Mismatch": _DAMAGED,
    "Crc64Mismatch": _DAMAGED,
    "InvalidMd5": _DAMAGED,
    "ServerBusy": _SLOW,
    "InternalError": _BROKEN,
    "OperationTimedOut": _BROKEN,
    "InvalidHeaderValue": Meaning(
        UnsupportedMethodError, "a header the server does not know: see 'apiversion'"
    ),
    "AccountLimitExceeded": Meaning(QuotaExceededError),
    "UnsupportedHeader": _CANNOT,
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": _CANNOT,
    "BlobOperationNotSupported": _CANNOT,
}
"""The meaning of every code that says more than its HTTP status does."""

BY_STATUS: dict[int, Meaning] = {
    401: _KEYS,
    403: _KEYS,
    404: _GONE,
    405: _CANNOT,
    409: Meaning(PreconditionError, "", True),
    411: _CANNOT,
    412: _CHANGED,
    413: Meaning(TooLargeError),
    414: Meaning(InvalidPathError, "too long for the server"),
    416: Meaning(InvalidOffsetError),
    429: _SLOW,
    501: _CANNOT,
    505: _CANNOT,
    507: Meaning(QuotaExceededError),
}

BY_SDK_CLASS: dict[str, Meaning] = {
    "CredentialUnavailableError": Meaning(
        AccessDeniedError, "no credentials found: see 'credentials.type'"
    ),
    "ClientAuthenticationError": _KEYS,
    "AzureSigningError": Meaning(AccessDeniedError, "check 'accountkey'"),
    "ServiceRequestTimeoutError": Meaning(
        UnavailableError, "no connection in time", executed=Executed.NO
    ),
    "ServiceRequestError": Meaning(
        UnavailableError, "no connection", executed=Executed.NO
    ),
    "ServiceResponseTimeoutError": Meaning(UnavailableError, "no answer in time"),
    "ServiceResponseError": Meaning(UnavailableError, "the connection was lost"),
    "IncompleteReadError": _BROKEN_BODY,
    "DecodeError": _DAMAGED,
    "StreamConsumedError": _BROKEN,
}
"""The meaning of the SDK's own exceptions."""


def code_of(error: BaseException) -> str:
    """The server's code, "" for an error that no server sent."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def status_of(error: BaseException) -> int:
    """The HTTP status, 0 for an error that no server sent."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else 0


def typed(error: Exception, path: str | None = None) -> StorageError:
    """The typed error for anything that an Azure call raised.

    Args:
        error: what the SDK raised.
        path: the object or directory concerned.
    """
    if isinstance(error, StorageError):
        return with_path(error, path)
    code, status = code_of(error), status_of(error)
    if code or status:
        meaning = _meaning(code, status)
        if meaning is _KEYS and _clocks_differ_s(error) > CLOCKS_DIFFER_SECONDS_MAX:
            meaning = _CLOCK
        detail = f"{code}, status {status}" if code else f"status {status}"
        request = _header(error, "x-ms-request-id")
        detail += f", request {request}" if request else ""
    else:
        meaning = _by_class(error)
        detail = type(error).__name__
        # Prose of the token service is left out, but its code says what to do.
        code_there = _ENTRA_CODE.search(str(error))
        if code_there:
            detail += f", {code_there[0]}"
            meaning = _EXPIRED if code_there[0] == SECRET_EXPIRED else meaning
    return meaning.error(detail, path, _header(error, "retry-after"))


def _meaning(code: str, status: int) -> Meaning:
    if code == "CannotVerifyCopySource" and status == 404:
        return _GONE
    known = BY_CODE.get(code) or BY_STATUS.get(status)
    if known is not None:
        return known
    return _BROKEN if status >= 500 else Meaning(StorageError, executed=Executed.NO)


def _clocks_differ_s(error: BaseException) -> float:
    """How far the service's clock is from ours; 0 where it does not say."""
    try:
        there = parsedate_to_datetime(_header(error, "date")).astimezone(UTC)
    except (ValueError, TypeError):
        return 0.0
    return abs((datetime.now(UTC) - there).total_seconds())


def _by_class(error: Exception) -> Meaning:
    inner = error.__cause__ or getattr(error, "inner_exception", None)
    for candidate in (error, inner):
        for cls in type(candidate).__mro__:
            if cls.__name__ in BY_SDK_CLASS:
                return BY_SDK_CLASS[cls.__name__]
    module = type(error).__module__.partition(".")[0]
    if "MD5 mismatch" in str(error):
        return _DAMAGED
    if isinstance(error, OSError) or module in ("urllib3", "requests"):
        return _BROKEN_BODY
    if isinstance(error, ValueError) and "API version" in str(error):
        return Meaning(InvalidParameterError, "the SDK does not know this 'apiversion'")
    return _BROKEN if module == "azure" else Meaning(StorageError)


def _header(error: BaseException, name: str) -> str:
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    return str(headers.get(name) or "")
