"""A large object over TCP, where bytes go inline, against gRPC over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from blobs import MIB, PIECE
from figures import Figure, at_least
from grpc_peer import Channel
from measure import ratio, seconds
from scene import BLOB, Scene, read_speed, speeds, write_speed

from storagebus.client import Client


def figures(scene: Scene) -> Iterator[Figure]:
    bus, rpc = scene.connect(scene.tcp, "off"), scene.channel(scene.grpc[1])
    yield from against(scene, bus, rpc, "over TCP inline / gRPC over TCP", 1.2, 1.2)


def against(
    scene: Scene, bus: Client, rpc: Channel, how: str, read: float, write: float
) -> Iterator[Figure]:
    """A read and a write, with their aims."""
    mib, rounds = scene.sizes.blob_mib, scene.sizes.rounds

    def speed(work: Callable[[], object]) -> float:
        return mib * MIB / seconds(work)

    a, b, r = ratio(
        lambda: read_speed(bus), lambda: speed(lambda: rpc.read(BLOB)), rounds
    )
    yield Figure(f"read {mib} MiB {how}", r, at_least(read), speeds(a, b))

    def stream() -> None:
        rpc.write("/written-by-grpc", (PIECE for _ in range(mib)))

    a, b, r = ratio(lambda: write_speed(bus, mib), lambda: speed(stream), rounds)
    yield Figure(f"write {mib} MiB {how}", r, at_least(write), speeds(a, b))
