"""The SDK's clients for S3, and how they are set up."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from typing import Any

from ..errors import InvalidParameterError
from ..objectstore.clients import CALLERS_CONNECTIONS, Clients, silence
from ..standing import check_standing, remaining_s
from .credentials import session_of
from .parameters import Options

_log = logging.getLogger("storagebus.drivers.s3")


COPY_READ_SECONDS = 120
"""Thirty-two parts of 32 MiB copied at once keep a slow disk busy for a while."""
VISIBLE = (
    "CompleteMultipartUpload", "CopyObject", "DeleteObject", "DeleteObjects",
    "PutObject",
)  # fmt: skip
"""Requests that change what others see."""


class S3Clients(Clients):
    """What talks to the server, made at the first call in each process.

    Args:
        options: the driver's parameters.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options.maxthreads, "storagebus-s3")
        self._options = options

    def client(self) -> Any:
        """The client for requests."""
        return self.one("requests", lambda: make_client(self._options))

    def copier(self) -> Any:
        """The client for requests whose bytes the server copies before it answers."""
        patience = max(self._options.readtimeout, COPY_READ_SECONDS)
        return self.one(
            "copies", lambda: make_client(self._options, readtimeout=patience)
        )

    def presigner(self) -> Any:
        """The client that signs redirect URLs, for the endpoint that these have."""
        endpoint = self._options.redirectendpoint
        if not endpoint:
            return self.client()
        return self.one("redirects", lambda: make_client(self._options, endpoint))


def make_client(
    options: Options, endpoint_url: str | None = None, readtimeout: int | None = None
) -> Any:
    """An S3 client of the SDK.

    Args:
        options: the driver's parameters.
        endpoint_url: instead of the one in the parameters.
        readtimeout: seconds, likewise.
    """
    from botocore.config import Config

    silence("boto3", "botocore", "urllib3")
    whenever = options.checksum == "supported" or (
        options.checksum == "auto" and options.on_aws
    )
    config = Config(
        signature_version="s3v4" if options.v4auth else "s3",
        user_agent_extra=options.useragent or None,
        connect_timeout=options.connecttimeout,
        read_timeout=readtimeout or options.readtimeout,
        max_pool_connections=options.maxthreads + CALLERS_CONNECTIONS,
        tcp_keepalive=True,
        use_dualstack_endpoint=options.usedualstack or None,
        use_fips_endpoint=options.usefipsendpoint or None,
        retries={"mode": options.retrymode, "total_max_attempts": options.maxattempts},
        request_checksum_calculation="when_supported" if whenever else "when_required",
        # A server that sends the checksum of the whole with a range fails every read.
        response_checksum_validation="when_required",
        s3={
            "addressing_style": _addressing_style(options),
            "use_accelerate_endpoint": options.accelerate,
            "us_east_1_regional_endpoint": "regional",
        },
    )
    client = session_of(options).client(
        "s3",
        endpoint_url=endpoint_url or options.endpoint_url,
        use_ssl=options.secure,
        verify=not options.skipverify,
        config=config,
    )
    client.meta.events.register("before-call.s3.HeadBucket", _go_where_told)
    _send_at_once(client)
    _ask_before_each_try(client)
    if options.content_md5:
        _sign_digests(client)
    if not options.on_aws:
        client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    if options.skipverify:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if options.loglevel != "off":
        _log_requests(client)
    return client


def _send_at_once(client: Any) -> None:
    """Send bodies that are in memory with their request.

    The SDK makes files of bytes, and asks before it sends a file whether it may: one
    more way there and back for every small object.
    """
    from botocore import handlers

    wrap = getattr(handlers, "convert_body_to_file_like_object", None)
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.unregister(f"before-parameter-build.s3.{operation}", wrap)


def _ask_before_each_try(client: Any) -> None:
    """Let nothing take effect that nobody may rely on any more, see `standing`."""

    def ask(**_: Any) -> None:
        check_standing()

    def give_up(**_: Any) -> bool | None:
        # False ends the tries with what the last one met, None leaves it to the SDK.
        return False if remaining_s() <= 0 else None

    for operation in VISIBLE:
        # Last, as to sign a request may mean to fetch credentials first.
        client.meta.events.register_last(f"request-created.s3.{operation}", ask)
    client.meta.events.register_first("needs-retry.s3", give_up)


def _sign_digests(client: Any) -> None:
    """Sign the MD5 of a part instead of its SHA-256, which would be a second pass.

    Over https the SDK does so by itself; the digest's header is signed either way.
    """
    from botocore.config import Config

    settings = {**client.meta.config.s3, "payload_signing_enabled": False}
    config = client.meta.config.merge(Config(s3=settings))

    def sign_digest(request: Any, **_: Any) -> None:
        request.context["client_config"] = config

    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-sign.s3.{operation}", sign_digest)


def _go_where_told(params: Any, **_: Any) -> None:
    """Keep the SDK from asking where a bucket is by a request about which it asks anew.

    It sends HeadBucket when a server says "elsewhere" and not where; to a server that
    answers that in the same way it does so until Python's stack is full.
    """
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _addressing_style(options: Options) -> str:
    """Where the bucket's name goes in a URL."""
    if options.forcepathstyle:
        return "path"
    # Left to itself the SDK signs redirect URLs for the global endpoint, which
    # answers with another redirect. No certificate covers a name with dots.
    return "virtual" if options.on_aws and "." not in options.bucket else "auto"


def _add_content_md5(request: Any, **_: Any) -> None:
    """Add the digest that older servers ask of DeleteObjects, instead of a CRC."""
    body = request.body if isinstance(request.body, bytes) else b""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    if "Content-MD5" not in request.headers:
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def check_region(options: Options) -> None:
    """A region of Amazon's must be one that the SDK knows.

    Raises:
        InvalidParameterError: it is not.
    """
    if not options.on_aws:
        return
    import botocore.session

    session = botocore.session.Session()
    known = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("s3", partition)
    }
    if options.region not in known:
        raise InvalidParameterError(
            f"parameter 'region': {options.region!r} is no region of AWS; "
            "set 'regionendpoint' for another S3 implementation"
        )


def _log_requests(client: Any) -> None:
    """Log operation, status, tries and time of each request, and nothing secret."""

    def before(context: dict[str, Any], **_: Any) -> None:
        context["storagebus_started_s"] = time.monotonic()

    def after(
        http_response: Any, parsed: Any, model: Any, context: Any, **_: Any
    ) -> None:
        metadata = parsed.get("ResponseMetadata", {})
        took_s = time.monotonic() - context.get("storagebus_started_s", 0.0)
        _log.debug(
            "%s: status %s, %s retries, %.1f ms, request %s",
            model.name,
            http_response.status_code,
            metadata.get("RetryAttempts"),
            took_s * 1000,
            metadata.get("RequestId"),
        )

    client.meta.events.register("before-call.s3", before)
    client.meta.events.register("after-call.s3", after)
