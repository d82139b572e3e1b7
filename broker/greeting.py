"""Whether a peer is welcome: roles, versions, numbers. Pure."""

from __future__ import annotations

from ..drivers.contract import API_VERSION
from .messages import (
    LANE_FEATURE,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Hello,
    Reason,
    Welcome,
)
from .sessions import Door
from .settings import BrokerSettings
from .wire import CHUNK_BYTES_MAX

FEATURES: frozenset[str] = frozenset({LANE_FEATURE})
"""Features outside the core profile that this broker has."""


class Refusal(Exception):
    """The peer is not welcome.

    Args:
        reason: the GOAWAY's reason.
        detail: in words, for the person who runs the peer.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def welcome_of(
    hello: Hello, door: Door, settings: BrokerSettings, sessions: int
) -> Welcome:
    """The answer to a greeting.

    Args:
        hello: what the peer says.
        door: where it says it.
        settings: the broker's.
        sessions: how many there are already.

    Raises:
        Refusal: with the reason and what both sides have.
    """
    if hello.role != door.value.removesuffix("s"):
        raise Refusal(
            Reason.REFUSED, f"a {hello.role} greeted at the {door.value}' door"
        )
    if sessions >= settings.peers_max:
        raise Refusal(
            Reason.PROTOCOL, f"this broker has {settings.peers_max} peers already"
        )
    lowest, highest = hello.protocol
    if lowest > PROTOCOL_MAX or highest < PROTOCOL_MIN:
        raise Refusal(
            Reason.VERSION,
            f"the peer speaks protocol {lowest} to {highest}, this broker "
            f"{PROTOCOL_MIN} to {PROTOCOL_MAX}",
        )
    if hello.role == "worker":
        _check_worker(hello)
    return Welcome(
        broker=settings.broker_id,
        protocol=min(highest, PROTOCOL_MAX),
        chunk_max=CHUNK_BYTES_MAX,
        heartbeat_ms=settings.heartbeat_ms,
        streams_max=settings.client_streams_max,
        features=tuple(name for name in hello.features if name in FEATURES),
        brokers=settings.brokers,
    )


def _check_worker(hello: Hello) -> None:
    if not hello.service or hello.service.startswith("$"):
        raise Refusal(Reason.REFUSED, f"{hello.service!r} is no name for a service")
    if not hello.slots or not hello.streams:
        raise Refusal(Reason.REFUSED, "a worker has at least one slot and one stream")
    if not api_version_fits(hello.api_version):
        raise Refusal(
            Reason.VERSION,
            f"driver {hello.driver!r} has driver API {hello.api_version!r}, this "
            f"broker {API_VERSION}: the major must be equal, the minor not newer",
        )


def api_version_fits(theirs: str, ours: str = API_VERSION) -> bool:
    """The rule of the first registry's drivers: equal major, equal or lower minor."""
    try:
        major, minor = (int(part) for part in theirs.split("."))
        our_major, our_minor = (int(part) for part in ours.split("."))
    except ValueError:
        return False
    return major == our_major and 0 <= minor <= our_minor
