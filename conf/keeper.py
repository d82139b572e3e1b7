"""Keeping the workers of a bus right while it runs: sound, enough of them, up to date.

The broker knows how busy the workers are and how they are doing, the manager which
process each of them is; `storagebus up` brings the two together about once a second.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..drivers.errors import StorageError
from ..workers.children import ProcessSpec
from ..workers.elastic import Elastic, PoolLoad, PoolSize
from ..workers.health import Condition, Health, judge_broker
from ..workers.members import State
from ..workers.watch import ExecutableWatch
from .attendance import leader
from .compose import broker_pools, worker_pool
from .drivers import facts
from .schema import Configuration

if TYPE_CHECKING:
    from ..workers.manager import Manager
    from .census import Census

LOOK_S = 1.0
"""How often it looks."""

log = logging.getLogger("storagebus.up")


class Keeper:
    """Lets pools grow and shrink, and replaces processes.

    Args:
        census: asks the brokers, with a short deadline.
        configuration: says how many workers a service may have.
        specs: the pools of its services.
    """

    def __init__(
        self,
        census: Census,
        configuration: Configuration,
        specs: Iterable[ProcessSpec],
    ) -> None:
        self._census = census
        self._brokers = broker_pools(configuration)
        self._health: Health[int] = Health()
        self._lost_at: dict[int, float] = {}
        self._looked = float("-inf")
        self._elastic = {
            name: Elastic(PoolSize(service.workers, service.most))
            for name, service in configuration.services.items()
        }
        executables = {
            worker_pool(name): facts(service.driver).executable
            for name, service in configuration.services.items()
        }
        # A driver of this Python has no file of its own to be replaced.
        self._watches = {
            spec.name: ExecutableWatch(spec.argv[0])
            for spec in specs
            if executables.get(spec.name) is not None
        }

    def look(self, manager: Manager, now: float) -> None:
        """Look, if it is time, and have the manager do what is to be done.

        Args:
            manager: runs the pools.
            now: seconds.
        """
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        for pool, watch in self._watches.items():
            if watch.changed(now):
                log.info("%s: its executable was replaced", pool)
                manager.rolling_restart(pool)
        try:
            services = self._census.bus_status()["services"]
        except StorageError:
            # The brokers are starting again; their workers come back.
            self._replace_silent(manager)
            return
        self._replace_silent(manager)
        for name, elastic in self._elastic.items():
            if name in services:
                self._fit(manager, name, elastic, services[name], now)
        for child, fault in self._health.faults(
            self._conditions(manager, services, now), now
        ).items():
            manager.replace(child, fault.what, fault.grace_s)

    def _replace_silent(self, manager: Manager) -> None:
        """Replace brokers that run and do not answer."""
        ready = {
            child.name: child.child
            for child in manager.status()
            if child.state is State.READY
        }
        for number, silent_s in self._census.silent_s().items():
            fault = judge_broker(silent_s)
            child = ready.get(self._brokers[number])
            if fault is not None and child is not None:
                self._census.forgive(number)
                manager.replace(child, fault.what, fault.grace_s)

    def _fit(
        self,
        manager: Manager,
        name: str,
        elastic: Elastic,
        service: Mapping[str, Any],
        now: float,
    ) -> None:
        """Make a pool as large as its load asks for."""
        before = elastic.instances
        load = PoolLoad(
            workers=service["workers_total"],
            busy=service["calls"] + service["streams"],
            slots=service["slots"],
            waiting=service["waiting"],
        )
        wanted = elastic.look(load, now)
        if wanted != before:
            log.info("service %s: %d workers instead of %d", name, wanted, before)
            manager.resize(worker_pool(name), wanted)

    def _conditions(
        self, manager: Manager, services: Mapping[str, Any], now: float
    ) -> dict[int, Condition]:
        """How the children are that were ready once, by their numbers."""
        ready = {
            child.pid: (child.name, child.child)
            for child in manager.status()
            if child.state is State.READY
        }
        found: dict[int, Condition] = {}
        for name in self._elastic:
            service = services.get(name, {})
            workers = service.get("workers", [])
            for worker in workers:
                _, child = ready.pop(leader(worker["pid"]), ("", None))
                if child is not None:
                    found[child] = Condition(
                        worker.get("stuck_s", 0.0), worker.get("heard_s", 0.0)
                    )
            if service.get("workers_total", 0) > len(workers):
                # Who is not shown may be there all the same.
                pool = worker_pool(name)
                ready = {pid: it for pid, it in ready.items() if it[0] != pool}
        pools = {worker_pool(name) for name in self._elastic}
        missing = {child for pool, child in ready.values() if pool in pools}
        self._lost_at = {child: self._lost_at.get(child, now) for child in missing}
        for child, since in self._lost_at.items():
            found[child] = Condition(lost_s=now - since)
        return found
