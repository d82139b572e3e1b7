"""What goes wrong, and when: every kind of fault at its own rate, at random moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .network import IN, OUT
from .node import Node
from .options import Options

if TYPE_CHECKING:
    from .world import World

Fault = Callable[["World"], None]

JUMPS_S = (0.01, 1.0, 30.0, 3_600.0)
DIRECTIONS = ((IN,), (OUT,), (IN, OUT))


PROVOKED_S_MAX = 0.02
"""How soon after a message the fault happens that it meets."""


def plan(world: World) -> None:
    """Arrange all faults of a run: some at any time, some just when they hurt."""
    options, chance, loop = world.options, world.chance, world.loop
    rates = {act: rate(options) for act, rate in _RATES.items() if rate(options)}
    for act, rate in rates.items():
        moment = chance.expovariate(rate)
        while moment < options.faults_s:
            loop.at(moment, act, world)
            moment += chance.expovariate(rate)

    def provoke() -> None:
        if chance.random() < options.provoked:
            (act,) = chance.choices(list(rates), list(rates.values()))
            loop.after(chance.uniform(0.0, PROVOKED_S_MAX), _if_faulty, world, act)

    if rates and options.provoked:
        world.network.provoke = provoke


def _if_faulty(world: World, act: Fault) -> None:
    if world.faulty:
        act(world)


def cut(world: World) -> None:
    """A connection breaks."""
    wires = list(world.network.wires)
    if wires:
        wire = world.chance.choice(wires)
        world.transcript.note("net", f"cuts {wire.peer.name} from {wire.broker.name}")
        notice = world.chance.choice((0.0, 0.005, 0.5))
        wire.cut(notice * world.chance.random(), notice * world.chance.random())


def partition(world: World) -> None:
    """A connection is silent for a while."""
    chance, options = world.chance, world.options
    peers = [*world.workers.values(), *world.clients.values()]
    if not peers:
        return
    peer = chance.choice(peers).name
    broker = chance.randrange(options.brokers)
    seconds = chance.uniform(0.0, options.partition_s_max)
    world.transcript.note("net", f"parts {peer} from b{broker} for {seconds:.2f} s")
    world.network.partition(peer, broker, seconds, chance.choice(DIRECTIONS))


def crash_broker(world: World) -> None:
    """A broker is killed, and comes back empty."""
    if world.brokers:
        world.crash_broker(world.chance.choice(list(world.brokers.values())))


def retire_broker(world: World) -> None:
    """A broker is asked to end in good order, and another started."""
    if world.brokers:
        broker = world.chance.choice(list(world.brokers.values()))
        world.transcript.note(broker.name, "is told to end")
        broker.do(broker.retire)


def crash_worker(world: World) -> None:
    """A worker is killed, and another started."""
    if world.workers:
        world.crash_worker(world.chance.choice(list(world.workers.values())))


def crash_client(world: World) -> None:
    """A client is killed, and another started."""
    if world.clients:
        world.crash_client(world.chance.choice(list(world.clients.values())))


def stall(world: World) -> None:
    """A process stands still for a while."""
    node = _somebody(world)
    if node is not None:
        seconds = world.chance.uniform(0.0, world.options.stall_s_max)
        world.transcript.note(node.name, f"stands still for {seconds:.2f} s")
        node.stall(seconds)


def jump(world: World) -> None:
    """A clock jumps ahead, as when a machine was suspended."""
    node = _somebody(world)
    if node is not None:
        seconds = world.chance.choice(JUMPS_S)
        world.transcript.note(node.name, f"has its clock jump {seconds:g} s ahead")
        node.jump(seconds)


def drain(world: World) -> None:
    """A worker is asked to end in good order, and another started."""
    if world.workers:
        worker = world.chance.choice(list(world.workers.values()))
        world.transcript.note(worker.name, "is told to drain")
        worker.do(worker.drain)


def _somebody(world: World) -> Node | None:
    nodes: list[Node] = [
        *world.brokers.values(),
        *world.workers.values(),
        *world.clients.values(),
    ]
    return world.chance.choice(nodes) if nodes else None


_RATES: dict[Fault, Callable[[Options], float]] = {
    cut: lambda options: options.cuts,
    partition: lambda options: options.partitions,
    crash_broker: lambda options: options.broker_crashes,
    crash_worker: lambda options: options.worker_crashes,
    crash_client: lambda options: options.client_crashes,
    stall: lambda options: options.stalls,
    jump: lambda options: options.jumps,
    drain: lambda options: options.drains,
    retire_broker: lambda options: options.retirements,
}
