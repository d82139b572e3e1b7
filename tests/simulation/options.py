"""What a simulated run is made of: sizes, delays and faults. Everything else is chance.

The seed alone decides: `Options.drawn(seed)` draws the options, the world draws the
rest. A value can be set by hand, to make a failing run smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Options:
    """One run.

    Attributes:
        seed: everything that happens follows from it.
        brokers, workers, clients: how many of each.
        tasks: things that a client's application does at once.
        operations: operations of one of these, one after another.
        faults_s: seconds in which faults happen; after that all is healed.
        deadline_s: what the clients ask for.
        object_bytes_max: largest object.
        floor_bytes, pool_bytes, streams_max: the brokers' budget.
        queue_calls_max: OPENs that may wait in a broker.
        slots, worker_streams: what a worker offers.
        latency_s_max: of a message on its way; on each connection it differs.
        hiccup_chance, hiccup_s_max: how many messages take far longer.
        duplicate_chance: how many arrive twice, of those that may.
        window_messages_max: messages under way on a connection that takes no more.
        provoked: chance that a stream's message meets a fault, of the kinds below.
        cuts, partitions: connections that break, or are silent for a while, a second.
        partition_s_max: how long at most.
        broker_crashes, worker_crashes, client_crashes: a second.
        stalls: processes that stand still for a while (SIGSTOP), a second.
        stall_s_max: how long at most.
        jumps: clocks that jump ahead, a second.
        drains, retirements: workers and brokers that are asked to end, a second.
        restart_s_max: how long until a crashed process is started again.
        driver_s_max: how long driver work takes, usually.
        slow_chance, slow_s_max: how much of it takes far longer.
        stuck_chance: how much of it hangs until all is healed.
        failure_chance: how much of it fails.
        ghost_chance: how much of a killed worker's work a store still does.
        threaded: the client's application runs in other threads than its I/O.
        framed: messages go through their frames.
        rivalry: how much of what tasks do is to write, or to seize, an upload that
            others know of.
        services: how many there are, each with a store and workers of its own.
        long_chance: how many paths are such that to move, delete or commit them takes
            longer than a deadline, while the driver moves on.
        poison: how much of what tasks ask ends the worker that does it.
        obituaries: somebody tells the brokers how workers have ended.
    """

    seed: int
    brokers: int = 1
    workers: int = 1
    clients: int = 1
    tasks: int = 2
    operations: int = 5
    faults_s: float = 12.0
    deadline_s: float = 4.0
    object_bytes_max: int = 4_000
    floor_bytes: int = 512
    pool_bytes: int = 4_096
    streams_max: int = 64
    queue_calls_max: int = 100
    slots: int = 2
    worker_streams: int = 4
    latency_s_max: float = 0.002
    hiccup_chance: float = 0.0
    hiccup_s_max: float = 1.5
    duplicate_chance: float = 0.0
    window_messages_max: int = 1_000
    provoked: float = 0.0
    cuts: float = 0.0
    partitions: float = 0.0
    partition_s_max: float = 8.0
    broker_crashes: float = 0.0
    worker_crashes: float = 0.0
    client_crashes: float = 0.0
    stalls: float = 0.0
    stall_s_max: float = 10.0
    jumps: float = 0.0
    drains: float = 0.0
    retirements: float = 0.0
    restart_s_max: float = 1.0
    driver_s_max: float = 0.01
    slow_chance: float = 0.0
    slow_s_max: float = 2.0
    stuck_chance: float = 0.0
    failure_chance: float = 0.0
    ghost_chance: float = 0.0
    threaded: bool = False
    framed: bool = False
    rivalry: float = 0.0
    services: int = 1
    long_chance: float = 0.0
    poison: float = 0.0
    obituaries: bool = False

    @classmethod
    def drawn(cls, seed: int, **given: object) -> Options:
        """The options of a seed: each run has some kinds of fault, and not all.

        Args:
            seed: the seed.
            given: options that are set by hand, by name.
        """
        chance = Random(seed)

        def some(likely: float, low: float, high: float) -> float:
            """Often nothing, else something between the two."""
            value = chance.uniform(low, high)
            return round(value, 4) if chance.random() < likely else 0.0

        drawn = cls(
            seed,
            brokers=chance.choice((1, 1, 2, 3)),
            workers=chance.choice((1, 2, 2, 3)),
            clients=chance.choice((1, 1, 2, 3)),
            tasks=chance.randint(1, 3),
            operations=chance.randint(2, 8),
            deadline_s=chance.choice((1.0, 3.0, 5.0, 10.0)),
            object_bytes_max=chance.choice((100, 2_000, 6_000, 12_000)),
            floor_bytes=chance.choice((64, 512, 512, 2_048)),
            pool_bytes=chance.choice((1_000, 4_096, 16_384)),
            streams_max=chance.choice((2, 5, 64, 64)),
            queue_calls_max=chance.choice((2, 100, 100)),
            slots=chance.randint(1, 4),
            worker_streams=chance.choice((1, 3, 8)),
            latency_s_max=chance.choice((0.0005, 0.005, 0.05)),
            hiccup_chance=some(0.3, 0.001, 0.05),
            duplicate_chance=some(0.4, 0.01, 0.2),
            window_messages_max=chance.choice((8, 1_000, 1_000)),
            provoked=some(0.8, 0.002, 0.05),
            cuts=some(0.4, 0.02, 0.5),
            partitions=some(0.3, 0.02, 0.3),
            broker_crashes=some(0.3, 0.02, 0.3),
            worker_crashes=some(0.4, 0.02, 0.5),
            client_crashes=some(0.2, 0.02, 0.1),
            stalls=some(0.3, 0.02, 0.3),
            stall_s_max=chance.choice((2.0, 10.0, 30.0)),
            jumps=some(0.2, 0.02, 0.2),
            drains=some(0.3, 0.02, 0.2),
            retirements=some(0.25, 0.02, 0.2),
            restart_s_max=chance.choice((0.1, 1.0, 6.0)),
            faults_s=chance.choice((12.0, 12.0, 12.0, 40.0)),
            driver_s_max=chance.choice((0.001, 0.01, 0.1)),
            slow_chance=some(0.3, 0.01, 0.2),
            stuck_chance=some(0.2, 0.005, 0.05),
            failure_chance=some(0.3, 0.01, 0.1),
            ghost_chance=some(0.5, 0.1, 0.9),
            threaded=chance.random() < 0.5,
            framed=chance.random() < 0.25,
            rivalry=some(0.3, 0.1, 0.5),
            services=chance.choice((1, 1, 1, 2)),
            long_chance=some(0.3, 0.1, 0.5),
            poison=some(0.2, 0.02, 0.2),
            obituaries=chance.random() < 0.5,
        )
        return replace(drawn, **given)  # type: ignore[arg-type]

    def command(self) -> str:
        """What runs exactly this again."""
        drawn = Options.drawn(self.seed)
        changed = [
            f" --set {field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(drawn, field.name)
        ]
        return f"python tests/simulation/run.py --seed {self.seed}" + "".join(changed)


def parse_option(text: str) -> tuple[str, object]:
    """An option set by hand, from "name=value".

    Raises:
        ValueError: there is no such option, or the value is none for it.
    """
    name, _, value = text.partition("=")
    for field in fields(Options):
        if field.name == name and name != "seed":
            default = field.default
            if isinstance(default, bool):
                return name, value.lower() in ("1", "true", "yes")
            return name, type(default)(value)
    raise ValueError(f"no option {name!r}")
