"""The SDK's clients for blobs, and how they are set up."""

from __future__ import annotations

import logging
import os
import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..objectstore.clients import CALLERS_CONNECTIONS, Clients, silence
from ..standing import check_standing, remaining_s
from .credentials import credential_of
from .parameters import Options

PAUSE_SECONDS_MAX = 10.0
JITTER = 0.2
"""Share by which a pause is shorter or longer, so that callers do not retry as one."""

VISIBLE = frozenset(
    {("PUT", ""), ("PUT", "blocklist"), ("DELETE", ""), ("POST", "batch")}
)
"""Requests that change what others see: methods, with the `comp` of their URLs."""

AUTHORITIES_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables of the environment that the SDK's HTTP library heeds."""

_requests = logging.getLogger("storagebus.drivers.azure.requests")
_requests.setLevel(logging.WARNING)  # the SDK tells of each request in twenty lines


class AzureClients(Clients):
    """What talks to the service, made at the first call in each process.

    Args:
        options: the driver's parameters.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options.maxthreads, "storagebus-azure")
        self._options = options

    def service(self) -> Any:
        """The SDK's client of the account."""
        return self.one("account", lambda: make_service(self._options))

    def container(self) -> Any:
        """The SDK's client of the container, over the account's connections."""
        service = self.service()
        name = self._options.container
        return self.one("container", lambda: service.get_container_client(name))


def make_service(options: Options) -> Any:
    """The SDK's client of an account, with our connections and our retries."""
    from azure.storage.blob import BlobServiceClient

    silence("azure", "msal", "urllib3")
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
    from requests.utils import get_environ_proxies

    class Transport(RequestsTransport):  # type: ignore[misc]
        """Lets nothing take effect that nobody may rely on any more, see `standing`."""

        def send(self, request: Any, **given: Any) -> Any:
            query = parse_qs(urlsplit(request.url).query)
            if (request.method, query.get("comp", [""])[0]) in VISIBLE:
                check_standing()
            return super().send(request, **given)

    session = requests.Session()
    # Asked once for the one host there is: for each request it would be a tenth of all
    # that a small one costs.
    session.proxies.update(get_environ_proxies(options.serviceurl))
    session.trust_env = False
    connections = options.maxthreads + CALLERS_CONNECTIONS
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=connections))
    return Transport(
        session=session,
        session_owner=True,
        connection_timeout=options.connecttimeout,
        read_timeout=options.readtimeout,
        connection_verify=_verified_by(options),
        connection_data_block_size=256 << 10,
    )


def _verified_by(options: Options) -> bool | str:
    """Whether certificates are verified, or by which file of authorities."""
    if options.skipverify:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return False
    named = (os.environ.get(name) for name in AUTHORITIES_VARIABLES)
    return next(filter(None, named), True)


def _retry_policy(options: Options) -> Any:
    """Retries that fit our deadlines: the SDK's own wait 15 s before the first."""
    from azure.storage.blob import LinearRetry

    class PromptRetry(LinearRetry):
        """Pauses of n times `retry_delay`, n being the number of the retry."""

        def increment(
            self, settings: Any, request: Any, response: Any = None, error: Any = None
        ) -> bool:
            again = bool(super().increment(settings, request, response, error))
            if again and self.get_backoff_time(settings) >= remaining_s():
                return False  # what this try met is the better answer
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
