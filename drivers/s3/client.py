"""The SDK's clients and the transfer threads: one set a process, made when needed.

Neither survives a fork: a child that used its parent's sockets or threads would hang
or mix replies up. So they belong to a process id, and a child makes its own.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import InvalidParameterError
from .credentials import session_of
from .parameters import Options

CALLERS_CONNECTIONS = 32
"""Connections for calls of the driver's callers, besides one a transfer thread."""

_log = logging.getLogger("storagebus.drivers.s3")
_T = TypeVar("_T")


class Clients:
    """What talks to the server, made at the first call in each process.

    Args:
        options: the driver's parameters.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._client: Any = None
        self._presigner: Any = None
        self._threads: ThreadPoolExecutor | None = None

    def client(self) -> Any:
        """The client for requests."""
        if self._pid != os.getpid():
            self._renew()
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    client = self._client = make_client(self._options)
        return client

    def presigner(self) -> Any:
        """The client that signs redirect URLs, for the endpoint that these have."""
        if not self._options.redirectendpoint:
            return self.client()
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            if self._presigner is None:
                endpoint = self._options.redirectendpoint
                self._presigner = make_client(self._options, endpoint)
            return self._presigner

    def submit(self, call: Callable[..., _T], *args: Any) -> Future[_T]:
        """Run a transfer on one of the `maxthreads` threads."""
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    self._options.maxthreads, "storagebus-s3"
                )
            return self._threads.submit(call, *args)

    def close(self) -> None:
        """End the threads, after the transfers under way, and the connections."""
        with self._lock:
            threads, self._threads = self._threads, None
            clients = [self._client, self._presigner]
            self._client = self._presigner = None
        if self._pid != os.getpid():
            return
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        for client in clients:
            if client is not None:
                client.close()

    def _renew(self) -> None:
        # A lock that was held at the fork would stay locked for ever in the child.
        self._lock = threading.Lock()
        self._client = self._presigner = self._threads = None
        self._pid = os.getpid()


def make_client(options: Options, endpoint_url: str | None = None) -> Any:
    """An S3 client of the SDK.

    Args:
        options: the driver's parameters.
        endpoint_url: instead of the one in the parameters.
    """
    from botocore.config import Config

    whenever = options.checksum == "supported" or (
        options.checksum == "auto" and options.on_aws
    )
    config = Config(
        signature_version="s3v4" if options.v4auth else "s3",
        user_agent_extra=options.useragent or None,
        connect_timeout=options.connecttimeout,
        read_timeout=options.readtimeout,
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
