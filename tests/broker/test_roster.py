"""broker/roster.py: who may join a service, and who gets the next call."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from scene import boot_of, hello_of

from storagebus.broker.messages import Operation
from storagebus.broker.roster import SERVICES_MAX, Roster
from storagebus.broker.sessions import (
    ClientSession,
    Door,
    Peer,
    Stream,
    WorkerSession,
)
from storagebus.broker.wire import Message, Type

CLIENT = ClientSession(Peer(Door.CLIENTS, b"c"), 1, hello_of("c", "client"))


def worker_of(name: str, **changes: Any) -> WorkerSession:
    hello = hello_of(name, "worker", **changes)
    return WorkerSession(Peer(Door.WORKERS, name.encode()), 1, hello, 0.0)


def roster_of(*workers: WorkerSession, seed: int = 0) -> Roster:
    roster = Roster(("default",), Random(seed))
    for worker in workers:
        roster.add(worker)
    return roster


def load(worker: WorkerSession, calls: int) -> None:
    for _ in range(calls):
        opened = Message(Type.OPEN, 1, code=int(Operation.STAT))
        worker.take(Stream(CLIENT, opened, "default", 0.0, 1.0))


def test_of_two_the_less_loaded() -> None:
    idle, busy = worker_of("a", slots=9), worker_of("b", slots=9)
    load(busy, 2)
    for seed in range(20):
        assert roster_of(busy, idle, seed=seed).pick("default", False) is idle


def test_of_several_that_are_idle_any() -> None:
    for number in (2, 3, 5):
        roster = roster_of(*(worker_of(f"w{n}") for n in range(number)))
        picked = Counter(
            worker.peer.routing_id
            for _ in range(200 * number)
            if (worker := roster.pick("default", holds_stream=False))
        )
        assert len(picked) == number
        assert min(picked.values()) > 120, picked


def test_load_is_relative_to_slots() -> None:
    small, large = worker_of("a", slots=2), worker_of("b", slots=100)
    load(small, 1)
    load(large, 20)
    assert roster_of(small, large).pick("default", False) is large


def test_all_are_looked_at_when_the_two_are_full() -> None:
    workers = [worker_of(f"w{n}", slots=1) for n in range(20)]
    for worker in workers[1:]:
        load(worker, 1)
    for seed in range(20):
        assert roster_of(*workers, seed=seed).pick("default", False) is workers[0]
    load(workers[0], 1)
    assert roster_of(*workers).pick("default", False) is None


def test_many_workers_share_the_work() -> None:
    """Two choices: the fullest of 20 workers is close to the mean."""
    workers = [worker_of(f"w{n}", slots=1000) for n in range(20)]
    roster = roster_of(*workers, seed=3)
    for _ in range(2000):
        worker = roster.pick("default", False)
        assert worker is not None
        load(worker, 1)
    counts = Counter({worker.hello.name: worker.calls for worker in workers})
    assert max(counts.values()) <= 110
    assert min(counts.values()) >= 90


def test_who_may_join() -> None:
    first = worker_of("a")
    roster = roster_of(first)
    assert roster.objection(worker_of("b")) == ""
    assert "other parameters" in roster.objection(worker_of("b", instance="x"))
    assert roster.objection(worker_of("b", service="new", instance="x")) == ""
    alone = {"capabilities": {"shared": False}}
    assert "cannot share" in roster.objection(worker_of("b", **alone))
    # The same process that comes back is nobody's rival.
    assert roster.objection(worker_of("a", **alone, instance="x")) == ""
    first.draining = True
    assert roster.objection(worker_of("b", **alone, instance="x")) == ""


def test_services_are_bounded() -> None:
    roster = Roster((), Random(0))
    for number in range(SERVICES_MAX):
        roster.add(worker_of("w", service=f"s{number}"))
    assert "1000 services" in roster.objection(worker_of("x", service="one more"))
    assert roster.objection(worker_of("x", service="s5")) == ""


def test_a_service_stays_known() -> None:
    worker = worker_of("a", service="other")
    roster = roster_of(worker)
    assert roster.knows("default")
    roster.remove(worker)
    roster.remove(worker)  # harmless when repeated
    assert roster.knows("other")
    assert not roster.knows("never")
    assert roster.pick("never", False) is None


def test_finding_a_worker() -> None:
    worker = worker_of("a", pid=33)
    roster = roster_of(worker, worker_of("b"))
    assert roster.find("a") is worker
    assert roster.find(worker.id) is worker
    assert roster.with_boot(boot_of("a")) is worker
    assert roster.find("c") is None
    assert roster.with_boot(boot_of("c")) is None
