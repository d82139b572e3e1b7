"""The command conf listener: supervisord's event listener that watches health.

The thin shell of `watch`: it asks supervisord and the broker, and does what comes out.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..drivers.errors import InvalidParameterError, StorageError
from ..workers.health import SILENT_S_MAX
from .attendance import leader
from .census import Census, broker_clients
from .control import BROKER_PROGRAM, Supervisord, server
from .events import acknowledge, claim_channel
from .health import Action, Replace, Report, Worker
from .load import load
from .logs import log_option
from .watch import SILENT_BEATS, Watch

CHECK_S = 2.0
"""Seconds between two looks."""
ASK_S = 2.0
"""Seconds that the broker has for an answer."""

log = logging.getLogger("storagebus.listener")


@click.command(hidden=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # `load` says why it is not
    required=True,
    envvar="STORAGEBUS_CONFIG",
    help="Configuration file.  [STORAGEBUS_CONFIG]",
)
@log_option("info")
def listener(config: Path) -> None:
    """Watch broker and workers for supervisord, and replace those that are stuck.

    Not for people: it is the event listener of `storagebus conf supervisor`.

    \b
    Examples:
      storagebus conf supervisor --config storagebus.toml | grep 'conf listener'
    """
    reading, writing = claim_channel()
    supervisord = server(os.environ)
    broker = load(config, os.environ, hosts=()).broker
    if not broker.clients:
        raise InvalidParameterError("broker.clients is missing; set it in the file")
    silent_s = max(SILENT_S_MAX, SILENT_BEATS * broker.heartbeat_ms / 1000)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    def answer() -> None:
        try:
            acknowledge(reading, writing)
        except (OSError, ValueError) as error:
            log.warning("no more events from supervisord: %s", error)
        ended.set()

    threading.Thread(target=answer, name="storagebus-events", daemon=True).start()
    with broker_clients(broker, ASK_S) as clients:
        Listener(supervisord, Census(clients), Watch(silent_s)).run(ended)


class Listener:
    """Looks, judges and acts, again and again.

    Args:
        supervisord: where the processes are.
        census: asks the brokers, with a short deadline.
        watch: says what is to be done.
    """

    def __init__(self, supervisord: Supervisord, census: Census, watch: Watch) -> None:
        self._supervisord = supervisord
        self._census = census
        self._watch = watch
        self._complaints: dict[str, str] = {}

    def run(self, ended: threading.Event) -> None:
        """Look every `CHECK_S` until told to end."""
        while not ended.wait(CHECK_S):
            self.check()

    def check(self) -> None:
        """Look once."""
        report = self._report()
        try:
            processes = self._supervisord.processes()
        except StorageError as error:
            self._note("supervisord", str(error))
            return
        self._note("supervisord", "")
        deaf = broker_names(self._census)
        for action in self._watch.look(processes, report, time.monotonic(), deaf):
            try:
                self._do(action)
            except StorageError as error:
                log.warning("%s: %s", action.process.name, error)

    def _report(self) -> Report | None:
        try:
            report = as_report(self._census.bus_status())
        except StorageError as error:
            self._note("the broker", str(error))
            return None
        self._note("the broker", "")
        return report

    def _do(self, action: Action) -> None:
        process = action.process
        if isinstance(action, Replace):
            log.warning("replacing %s (%d): %s", process.name, process.pid, action.why)
            if not self._supervisord.kill(process):
                log.info("%s (%d) was gone already", process.name, process.pid)
        else:
            log.warning("starting %s again, which was given up", process.name)
            self._supervisord.start(process)

    def _note(self, whom: str, complaint: str) -> None:
        """Log a change once, and not what goes on and on."""
        before = self._complaints.get(whom, "")
        self._complaints[whom] = complaint
        if complaint and not before:
            log.warning("%s does not answer: %s", whom, complaint)
        elif before and not complaint:
            log.info("%s answers again", whom)


def broker_names(census: Census) -> list[str]:
    """supervisord's names of the brokers that have not answered."""
    if census.count == 1:
        return [f"{BROKER_PROGRAM}:{BROKER_PROGRAM}"] * len(census.deaf)
    return [f"{BROKER_PROGRAM}:broker-{number + 1}" for number in census.deaf]


def as_report(status: Mapping[str, Any]) -> Report:
    """What the watch needs of a broker's status."""
    workers: dict[str, list[Worker]] = {}
    partial = set()
    for name, service in status["services"].items():
        listed = service["workers"]
        # A broker with little room for its answer leaves facts out, then workers.
        workers[name] = [
            Worker(
                leader(each["pid"]),
                each.get("state") == "draining",
                each.get("heard_s", 0.0),
                each.get("stuck_s", 0.0),
            )
            for each in listed
        ]
        if service.get("workers_total", len(listed)) > len(listed):
            partial.add(name)
    return Report(workers, frozenset(partial))
