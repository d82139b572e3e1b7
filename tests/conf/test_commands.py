"""Every command is in the table, has help, and its examples are real."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest

from storagebus.conf.commands import COMMANDS, Commands
from storagebus.conf.main import cli
from storagebus.conf.schema import Service


def commands() -> dict[str, click.Command]:
    assert isinstance(cli, Commands)
    context = click.Context(cli, info_name="storagebus")
    found: dict[str, click.Command] = {}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            for inner, member in command.commands.items():
                found[f"{name} {inner}"] = member
    return found


ALL = commands()


def examples(name: str) -> list[list[str]]:
    """The examples of a command's help, without what they are piped to."""
    help_text = ALL[name].help or ""
    _, found, rest = help_text.partition("Examples:")
    assert found, f"{name} has no examples"
    lines = [line.strip() for line in rest.strip().splitlines()]
    cut = [re.split(r" \| | && | > ", line) for line in lines if line]
    return [
        shlex.split(part)[1:]
        for parts in cut
        for part in parts
        if part.startswith("storagebus ")
    ]


def test_the_commands_of_the_design_are_there() -> None:
    wanted = "up broker worker ready status drain ls stat cat put get mv rm walk url"
    assert set(wanted.split()) | {"bench", "conform", "conf"} <= set(COMMANDS)
    assert {"conf check", "conf show"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_help_tells_what_and_how(run: Any, name: str) -> None:
    ran = run(*name.split(), "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: storagebus {name}")
    assert "Examples:\n    storagebus" in ran.out or "Examples:\n    tar" in ran.out
    assert all(len(line) <= 88 for line in ran.out.splitlines())
    assert ran.err == ""


@pytest.mark.parametrize("name", ALL)
def test_examples_parse(run: Any, name: str) -> None:
    """Every example is accepted by the parser of the command it names."""
    for args in examples(name):
        command: click.Command = cli
        context = click.Context(cli, info_name="storagebus")
        while isinstance(command, click.Group):
            inner = command.get_command(context, args[0])
            assert inner is not None, args
            command, args = inner, args[1:]
        with command.make_context(command.name, list(args), parent=context) as made:
            assert made.params is not None


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("key", ["slots", "streams"])
def test_the_worker_help_has_the_defaults_of_the_file(key: str) -> None:
    (option,) = (found for found in ALL["worker"].params if found.name == key)
    assert isinstance(option, click.Option)
    default = getattr(Service("any", "inmemory"), key)
    assert (option.help or "").endswith(f"[default: {default}]")


@pytest.mark.parametrize(
    "name", ["ls", "stat", "walk", "url", "put", "get", "status", "conform", "up"]
)
def test_what_prints_data_has_json(name: str) -> None:
    options = [option for parameter in ALL[name].params for option in parameter.opts]
    assert "--json" in options
