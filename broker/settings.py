"""What a broker is told at its start."""

from __future__ import annotations

from dataclasses import dataclass

STREAMS_MAX = 2_048
CLIENT_STREAMS_MAX = 1_024
FLOOR_BYTES = 16_384
POOL_BYTES = 25_165_824
QUEUE_CALLS_MAX = 10_000
QUEUE_BYTES_MAX = 16_777_216
PEERS_MAX = 20_000
HEARTBEAT_MS = 1_000


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Settings of one broker.

    Attributes:
        clients: addresses of the clients' door.
        workers: addresses of the workers' door.
        broker_id: its name, unique among the brokers of a group.
        services: names for which work waits when no worker is there.
        brokers: the clients' doors of the other brokers of the group.
        heartbeat_ms: silence after which a side asks for a sign of life.
        streams_max: streams of bytes that may be open at once.
        client_streams_max: streams and calls that one client may have open.
        floor_bytes: bytes that every open stream may have in flight.
        pool_bytes: bytes in flight that all streams share above their floors.
        queue_calls_max: OPENs that wait in one service.
        queue_bytes_max: bytes of their payloads.
        peers_max: sessions at both doors together.
    """

    clients: tuple[str, ...]
    workers: tuple[str, ...]
    broker_id: str = "broker"
    services: tuple[str, ...] = ()
    brokers: tuple[str, ...] = ()
    heartbeat_ms: int = HEARTBEAT_MS
    streams_max: int = STREAMS_MAX
    client_streams_max: int = CLIENT_STREAMS_MAX
    floor_bytes: int = FLOOR_BYTES
    pool_bytes: int = POOL_BYTES
    queue_calls_max: int = QUEUE_CALLS_MAX
    queue_bytes_max: int = QUEUE_BYTES_MAX
    peers_max: int = PEERS_MAX

    @property
    def in_flight_bytes_max(self) -> int:
        """The bound on bytes of streams that the broker and libzmq hold for it."""
        return self.streams_max * self.floor_bytes + self.pool_bytes
