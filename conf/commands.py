"""The commands of `storagebus`: where each lives, and one line about it.

A command's module is imported when the command is called, so that `storagebus ls` does
not pay for the broker, nor `storagebus --help` for anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

NAME = "storagebus"


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    Attributes:
        module: its module in this package.
        attribute: the click command in that module.
        summary: one line for the list of commands.
        section: under which heading that list shows it.
    """

    module: str
    attribute: str
    summary: str
    section: str


_RUN = "Run a bus"
_WATCH = "Look after a bus"
_STORE = "Objects"
_MORE = "Drivers and configuration"

COMMANDS: Mapping[str, Entry] = {
    "up": Entry("up", "up", "Run a broker and its workers together.", _RUN),
    "broker": Entry("processes", "broker", "Run a broker.", _RUN),
    "worker": Entry("processes", "worker", "Run a worker of one service.", _RUN),
    "ready": Entry("bus", "ready", "Wait until broker and workers are there.", _WATCH),
    "status": Entry("bus", "status", "Show the broker, services and workers.", _WATCH),
    "drain": Entry("bus", "drain", "Let a worker finish its work and end.", _WATCH),
    "ls": Entry("listing", "ls", "List directories.", _STORE),
    "stat": Entry("objects", "stat", "Show what is known of objects.", _STORE),
    "cat": Entry("objects", "cat", "Write objects to standard output.", _STORE),
    "put": Entry("transfers", "put", "Store a file, a pipe or a tree.", _STORE),
    "get": Entry("transfers", "get", "Fetch an object or a tree.", _STORE),
    "mv": Entry("objects", "mv", "Move an object.", _STORE),
    "rm": Entry("objects", "rm", "Delete objects or directories.", _STORE),
    "walk": Entry("listing", "walk", "List all below a directory.", _STORE),
    "url": Entry("objects", "url", "Make a URL that fetches an object.", _STORE),
    "conform": Entry("conform", "conform", "Check a driver's behaviour.", _MORE),
    "bench": Entry("bench", "bench", "Measure a driver or a service.", _MORE),
    "conf": Entry("configuration", "conf", "Check or render a configuration.", _MORE),
}


class Commands(click.Group):
    """A group that knows its commands by table and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f".{entry.module}", __package__)
        command: click.Command = getattr(module, entry.attribute)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [
                (name, entry.summary)
                for name, entry in COMMANDS.items()
                if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)
