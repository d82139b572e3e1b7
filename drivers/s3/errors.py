"""What an S3 server's, or the SDK's, error means for a storage operation.

Messages are made of the server's code, status and request id. Its prose is added only
where it cannot hold what signs requests, and whatever is secret is cut out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from ..errors import (
    AccessDeniedError,
    DataLossError,
    Executed,
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
    PathNotFoundError,
    PreconditionError,
    QuotaExceededError,
    StorageError,
    StorageFullError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from ..objectstore.meanings import Meaning, with_path

MESSAGE_CHARACTERS_MAX = 200

_GONE = Meaning(PathNotFoundError)
_NO_BUCKET = Meaning(
    UnavailableError, "the bucket does not exist", False, Executed.NO
)  # fmt: skip
_REGION = Meaning(
    InvalidParameterError, "the bucket is in another region: check 'region'"
)
_CLOCK = Meaning(AccessDeniedError, "the clocks differ: check this machine's time")
_KEYS = Meaning(AccessDeniedError, "check the credentials")
_EXPIRED = Meaning(AccessDeniedError, "the credentials have expired: renew them")
_SLOW = Meaning(ThrottledError)
_BROKEN = Meaning(UnavailableError)
_DAMAGED = Meaning(
    DataLossError, "the body was damaged on its way", True, Executed.NO
)  # fmt: skip
_CANNOT = Meaning(UnsupportedMethodError, "the server does not offer this")

BY_CODE: dict[str, Meaning] = {
    "NoSuchKey": _GONE,
    "NotFound": _GONE,
    "NoSuchBucket": _NO_BUCKET,
    "InvalidRange": Meaning(InvalidOffsetError),
    "NoSuchUpload": Meaning(UploadNotFoundError),
    "InvalidPart": Meaning(DataLossError, "a part is missing or was replaced"),
    "InvalidPartOrder": Meaning(DataLossError),
    "EntityTooSmall": Meaning(
        UnsupportedMethodError, "the server asks for larger parts: raise 'chunksize'"
    ),
    "EntityTooLarge": Meaning(TooLargeError),
    "KeyTooLongError": Meaning(InvalidPathError, "too long for the server"),
    "InvalidObjectName": Meaning(InvalidPathError, "the server refuses this key"),
    "PreconditionFailed": Meaning(PreconditionError),
    "ConditionalRequestConflict": Meaning(PreconditionError, "", True),
    "AccessDenied": Meaning(AccessDeniedError),
    "AllAccessDisabled": Meaning(AccessDeniedError),
    "AccountProblem": Meaning(AccessDeniedError),
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidToken": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "InvalidIdentityToken": _KEYS,
    "IDPRejectedClaim": _KEYS,
    "IDPCommunicationError": _BROKEN,
    "AuthorizationQueryParametersError": _KEYS,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "QuotaExceeded": Meaning(QuotaExceededError),
    "UserQuotaExceeded": Meaning(QuotaExceededError),
    "XMinioStorageFull": Meaning(StorageFullError),
    "InsufficientStorage": Meaning(StorageFullError),
    "SlowDown": _SLOW,
    "SlowDownRead": _SLOW,
    "SlowDownWrite": _SLOW,
    "Throttling": _SLOW,
    "ThrottlingException": _SLOW,
    "TooManyRequests": _SLOW,
    "RequestLimitExceeded": _SLOW,
    "BandwidthLimitExceeded": _SLOW,
    "InternalError": _BROKEN,
    "ServiceUnavailable": _BROKEN,
    "RequestTimeout": _BROKEN,
    "OperationAborted": _BROKEN,
    "BadDigest": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "XAmzContentChecksumMismatch": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "NotImplemented": _CANNOT,
    "MethodNotAllowed": _CANNOT,
    "MissingContentMD5": _CANNOT,
    "InvalidObjectState": Meaning(
        UnavailableError, "the object is archived: restore it first", False, Executed.NO
    ),
}
"""The meaning of every code that says more than its HTTP status does."""

BY_STATUS: dict[int, Meaning] = {
    301: _REGION,
    401: _KEYS,
    403: Meaning(AccessDeniedError, "check the credentials and the bucket's policy"),
    404: _GONE,
    405: _CANNOT,
    409: Meaning(PreconditionError, "", True),
    411: _CANNOT,
    412: Meaning(PreconditionError),
    413: Meaning(TooLargeError),
    414: Meaning(InvalidPathError, "too long for the server"),
    416: Meaning(InvalidOffsetError),
    429: _SLOW,
    501: _CANNOT,
    507: Meaning(StorageFullError),
}

BY_SDK_CLASS: dict[str, Meaning] = {
    "NoCredentialsError": Meaning(
        AccessDeniedError, "no credentials found: set 'accesskey' and 'secretkey'"
    ),
    "PartialCredentialsError": _KEYS,
    "CredentialRetrievalError": _KEYS,
    "TokenRetrievalError": _KEYS,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "ProfileNotFound": _KEYS,
    "InvalidRegionError": _REGION,
    "UnknownRegionError": _REGION,
    "EndpointConnectionError": Meaning(
        UnavailableError, "no connection", executed=Executed.NO
    ),
    "ConnectTimeoutError": Meaning(
        UnavailableError, "no connection in time", executed=Executed.NO
    ),
    "ProxyConnectionError": Meaning(
        UnavailableError, "no connection to the proxy", executed=Executed.NO
    ),
    "SSLError": Meaning(
        UnavailableError,
        "no secure connection: check the certificate, 'secure', 'skipverify'",
        executed=Executed.NO,
    ),
    "ReadTimeoutError": Meaning(UnavailableError, "no answer in time"),
    "ConnectionClosedError": Meaning(UnavailableError, "the connection was closed"),
    "FlexibleChecksumError": Meaning(
        DataLossError, "the body was damaged on its way", True
    ),
    "ParamValidationError": Meaning(InvalidParameterError),
}
"""The meaning of the SDK's own exceptions, and of those of its HTTP library."""


def code_of(error: BaseException) -> str:
    """The server's code, "" for an error that no server sent."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code") or "")


def status_of(error: BaseException) -> int:
    """The HTTP status, 0 for an error that no server sent."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return int(status or 0)


def typed(
    error: Exception, path: str | None = None, *, secrets: Iterable[str] = ()
) -> StorageError:
    """The typed error for anything that an S3 call raised.

    Args:
        error: what the SDK raised.
        path: the object or directory concerned.
        secrets: what the message must not contain.
    """
    if isinstance(error, StorageError):
        return with_path(error, path)
    code, status = code_of(error), status_of(error)
    if code or status:
        meaning = BY_CODE.get(code) or BY_STATUS.get(status) or _by_range(status)
        detail = _server_detail(error, code, status, secrets)
    else:
        meaning = _by_class(error)
        detail = f"{type(error).__name__}"
        if meaning.cls in (InvalidParameterError, StorageError):
            detail += f": {error}"
    return meaning.error(redacted(detail, secrets), path, _retry_after(error))


def redacted(message: str, secrets: Iterable[str]) -> str:
    """A message without any of the secrets, in clear or as URLs have them."""
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            message = message.replace(form, "***")
    return message


def _by_range(status: int) -> Meaning:
    if status >= 500:
        return _BROKEN
    return Meaning(StorageError, executed=Executed.NO)


def _by_class(error: Exception) -> Meaning:
    for cls in type(error).__mro__:
        if cls.__name__ in BY_SDK_CLASS:
            return BY_SDK_CLASS[cls.__name__]
    module = type(error).__module__.partition(".")[0]
    if module == "urllib3" or isinstance(error, OSError):
        return Meaning(UnavailableError, "the connection was lost")
    if module in ("botocore", "boto3"):
        return Meaning(UnavailableError)
    return Meaning(StorageError)


def _server_detail(
    error: Exception, code: str, status: int, secrets: Iterable[str]
) -> str:
    response: dict[str, Any] = getattr(error, "response", {})
    detail = f"status {status}"
    if code and code != str(status):
        detail = f"{code}, {detail}"
    # The prose of a refused signature may quote the request that was signed.
    message = response.get("Error", {}).get("Message")
    if message and status not in (401, 403):
        # Cut only when nothing secret is in it: half a secret is not found any more.
        detail += f", {redacted(str(message), secrets)[:MESSAGE_CHARACTERS_MAX]}"
    request_id = response.get("ResponseMetadata", {}).get("RequestId")
    return f"{detail}, request {request_id}" if request_id else detail


def _retry_after(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    found: str | None = headers.get("retry-after")
    return found
