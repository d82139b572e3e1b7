"""The SDK's clients and the transfer threads: one set a process, made when needed.

Neither survives a fork: a child that used its parent's sockets or threads would hang
or mix replies up. So they belong to a process id, and a child makes its own.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .credentials import credential_of
from .parameters import Options

CALLERS_CONNECTIONS = 32
"""Connections for calls of the driver's callers, besides one a transfer thread."""
PAUSE_SECONDS_MAX = 10.0
JITTER = 0.2
"""Share by which a pause is shorter or longer, so that callers do not retry as one."""

_requests = logging.getLogger("storagebus.drivers.azure.requests")
_requests.setLevel(logging.WARNING)  # the SDK tells of each request in twenty lines
_T = TypeVar("_T")


class Clients:
    """What talks to the service, made at the first call in each process.

    Args:
        options: the driver's parameters.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._service: Any = None
        self._container: Any = None
        self._threads: ThreadPoolExecutor | None = None

    def container(self) -> Any:
        """The SDK's client of the container."""
        if self._pid != os.getpid():
            self._renew()
        container = self._container
        if container is None:
            with self._lock:
                if self._container is None:
                    self._service = make_service(self._options)
                    self._container = self._service.get_container_client(
                        self._options.container
                    )
                container = self._container
        return container

    def service(self) -> Any:
        """The SDK's client of the account."""
        self.container()
        return self._service

    def submit(self, call: Callable[..., _T], *args: Any) -> Future[_T]:
        """Run a transfer on one of the `maxthreads` threads."""
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    self._options.maxthreads, "storagebus-azure"
                )
            return self._threads.submit(call, *args)

    def close(self) -> None:
        """End the threads, after the transfers under way, and the connections."""
        if self._pid != os.getpid():
            return
        with self._lock:
            threads, self._threads = self._threads, None
            service, self._service = self._service, None
            self._container = None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        if service is not None:
            service.close()

    def _renew(self) -> None:
        # A lock that was held at the fork would stay locked for ever in the child.
        self._lock = threading.Lock()
        self._service = self._container = self._threads = None
        self._pid = os.getpid()


def make_service(options: Options) -> Any:
    """The SDK's client of an account, with our connections and our retries."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(
        options.serviceurl,
        credential=credential_of(options),
        api_version=options.apiversion,
        retry_policy=_retry_policy(options),
        transport=_transport(options),
        logger=_requests,
        # A part is one request, however large.
        max_single_put_size=1 << 62,
        max_single_get_size=1 << 62,
    )


def _transport(options: Options) -> Any:
    """Connections for all threads; the SDK's own pool would hold ten."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    connections = options.maxthreads + CALLERS_CONNECTIONS
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=connections))
    if options.skipverify:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return RequestsTransport(
        session=session,
        session_owner=True,
        connection_timeout=options.connecttimeout,
        read_timeout=options.readtimeout,
        connection_verify=not options.skipverify,
        connection_data_block_size=256 << 10,
    )


def _retry_policy(options: Options) -> Any:
    """Retries that fit our deadlines: the SDK's own wait 15 s before the first."""
    from azure.storage.blob import LinearRetry

    class PromptRetry(LinearRetry):
        """Pauses of n times `retry_delay`, n being the number of the retry."""

        def increment(
            self, settings: Any, request: Any, response: Any = None, error: Any = None
        ) -> bool:
            again = bool(super().increment(settings, request, response, error))
            if again and response is not None:
                # Nobody reads what this answer says, and it holds a connection.
                response.internal_response.close()
            return again

        def get_backoff_time(self, settings: dict[str, Any]) -> float:
            pause_s = options.retry_delay * max(1, int(settings["count"]))
            share = random.uniform(1 - JITTER, 1 + JITTER)
            return min(PAUSE_SECONDS_MAX, pause_s * share)

    most = options.max_retries
    return PromptRetry(
        retry_total=most, retry_connect=most, retry_read=most, retry_status=most
    )
