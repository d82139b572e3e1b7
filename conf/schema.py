"""What a configuration may say: the tables of its keys, and what comes out of them.

A key is described like a parameter of a driver (`drivers.parameters.Parameter`), so
that values from the environment, which are strings, are read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..broker import settings
from ..broker.addresses import check_addresses
from ..drivers.errors import InvalidParameterError
from ..drivers.parameters import REQUIRED, Parameter, boolean, text, whole
from .secrets import Reference

WORKERS_MAX = 256
SLOTS_MAX = 1_000
STREAMS_MAX = 10_000
LANE_BYTES_MOST = 1 << 40
SERVICES_MAX = 64
BROKERS_MAX = 8
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DRIVER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9._:-]{0,64}")


@dataclass(frozen=True, slots=True)
class Broker:
    """The section `[broker]`.

    Attributes:
        clients: addresses of the clients' door; empty when none is set.
        workers: addresses of the workers' door; empty when none is set.
        processes: brokers; each has one of the addresses at either door.
        id: the broker's name in `status`; "" lets the broker choose one.
        heartbeat_ms: silence after which a ping is sent, in milliseconds.
        streams_max: open streams of all clients.
        client_streams_max: open streams of one client.
        pool_bytes: bytes in flight, above the floor that each stream has.
        queue_calls_max: OPENs that wait for a worker, of one service.
        queue_bytes_max: bytes of their payloads, of one service.
        allow_unauthenticated_network: listen beyond this host without keys.
    """

    clients: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    processes: int = 1
    id: str = ""
    heartbeat_ms: int = settings.HEARTBEAT_MS
    streams_max: int = settings.STREAMS_MAX
    client_streams_max: int = settings.CLIENT_STREAMS_MAX
    pool_bytes: int = settings.POOL_BYTES
    queue_calls_max: int = settings.QUEUE_CALLS_MAX
    queue_bytes_max: int = settings.QUEUE_BYTES_MAX
    allow_unauthenticated_network: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A section `[services.NAME]`.

    Attributes:
        name: what clients call it.
        driver: name of the storage driver.
        workers: processes.
        workers_max: processes that there may be under load; 0 for no more than
            `workers`. Only `storagebus up` makes use of it.
        slots: calls at once in each process.
        streams: open streams at once in each process.
        lane_bytes_max: bytes of shared memory for clients of this host in each
            process; 0 for no lanes at all.
        parameters: the driver's, with secrets in place. References of a service that
            this process does not host are left out.
        references: parameters whose value is kept elsewhere.
    """

    name: str
    driver: str
    workers: int = 1
    workers_max: int = 0
    slots: int = 16
    streams: int = 1_024
    lane_bytes_max: int = 67_108_864
    parameters: Mapping[str, object] = field(default_factory=dict, repr=False)
    references: Mapping[str, Reference] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """Processes that there may be."""
        return self.workers_max or self.workers


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole configuration, checked.

    Attributes:
        origin: the file it came from; "" without one.
        broker: the section `[broker]`.
        services: the services by name, in the order of the file.
    """

    origin: str = ""
    broker: Broker = field(default_factory=Broker)
    services: Mapping[str, Service] = field(default_factory=dict)


def addresses(value: object) -> tuple[str, ...]:
    """One address, a list of them, or a string with commas between them."""
    listed = value
    if isinstance(value, str):
        listed = [part.strip() for part in value.split(",")]
    try:
        return check_addresses(listed, bind=True)
    except InvalidParameterError as error:
        raise ValueError(error.detail) from None


def _matching(pattern: re.Pattern[str], accepted: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        given = text(value)
        if not pattern.fullmatch(given):
            raise ValueError(f"must be {accepted}")
        return given

    return parse


service_name = _matching(
    _SERVICE, "1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit"
)

_BROKER = Broker()

BROKER_KEYS = tuple(
    Parameter(name, parse, getattr(_BROKER, name), public=True, help=help_text)
    for name, parse, help_text in (
        ("clients", addresses, "where clients connect: an address or a list"),
        ("workers", addresses, "where workers connect: an address or a list"),
        ("processes", whole(1, BROKERS_MAX), "brokers, each with an address a door"),
        (
            "id",
            _matching(_ID, "up to 64 of A-Z a-z 0-9 . _ : -"),
            "the broker's name in `storagebus status`",
        ),
        ("heartbeat_ms", whole(50, 60_000), "silence before a ping, milliseconds"),
        ("streams_max", whole(1, 100_000), "open streams of all clients"),
        ("client_streams_max", whole(1, 100_000), "open streams of one client"),
        ("pool_bytes", whole(1_048_576, 1 << 36), "bytes in flight above the floors"),
        ("queue_calls_max", whole(1, 1_000_000), "waiting OPENs of one service"),
        ("queue_bytes_max", whole(65_536, 1 << 36), "bytes of payload that wait"),
        (
            "allow_unauthenticated_network",
            boolean,
            "listen beyond this host although anyone may connect",
        ),
    )
)


def _parameters(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a table of the driver's parameters")
    return value


SERVICE_KEYS = (
    Parameter(
        "driver",
        _matching(_DRIVER, "a driver's name: lower-case letters, digits and . _ -"),
        REQUIRED,
        public=True,
        help="name of the driver",
    ),
    Parameter("workers", whole(1, WORKERS_MAX), 1, public=True, help="processes"),
    Parameter(
        "workers_max",
        whole(0, WORKERS_MAX),
        0,
        public=True,
        help="processes under load, with `storagebus up`",
    ),
    Parameter(
        "slots", whole(1, SLOTS_MAX), 16, public=True, help="calls at once in each"
    ),
    Parameter(
        "streams",
        whole(1, STREAMS_MAX),
        1_024,
        public=True,
        help="open streams at once in each",
    ),
    Parameter(
        "lane_bytes_max",
        whole(0, LANE_BYTES_MOST),
        67_108_864,
        public=True,
        help="bytes of shared memory for clients of this host in each; 0 for none",
    ),
    Parameter("parameters", _parameters, None, help="the driver's own"),
)
