"""Commands about configurations: conf check, conf show, and those for supervisord."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import click

from ..drivers.errors import InvalidParameterError
from .listener import listener
from .load import load
from .options import json_option
from .output import print_json
from .problems import NO_SERVICE, ConfigurationError, Problem
from .schema import Configuration
from .show import as_toml, shown_fields
from .supervisor import supervisor

_FILE = click.Path(path_type=Path, readable=False)  # `load` says why it is not


@click.group(no_args_is_help=False)
def conf() -> None:
    """Check or show a configuration, or make one for supervisord.

    \b
    Examples:
      storagebus conf check storagebus.toml
      storagebus conf show --config storagebus.toml
      storagebus conf supervisor --config storagebus.toml > supervisord.conf
    """


conf.add_command(supervisor)
conf.add_command(listener)


@conf.command()
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Report every problem of a file, each with its line and key.

    The environment counts too: overrides, and the secrets that the file refers to.
    Exit code 0 when there is none, else 4.

    \b
    Examples:
      storagebus conf check storagebus.toml
      storagebus conf check --json storagebus.toml
    """
    try:
        _check_purpose(load(file, os.environ), file)
    except ConfigurationError as error:
        for problem in error.problems:
            if as_json:
                print_json(problem.to_fields())
            else:
                click.echo(str(problem))
        count = len(error.problems)
        raise InvalidParameterError(
            f"{count} problem{'s' * (count > 1)} in {file}"
        ) from error
    if not as_json:
        click.echo(f"{file}: no problems")


def _check_purpose(configuration: Configuration, file: Path) -> None:
    """Nothing can be run from a file without a service, but a broker of its own.

    Raises:
        ConfigurationError: not even that.
    """
    broker = configuration.broker
    if not configuration.services and not (broker.clients or broker.workers):
        problem = Problem(str(file), None, "services", NO_SERVICE)
        raise ConfigurationError([problem])


@conf.command()
@click.option("--config", type=_FILE, help="The file.  [default: none]")
@click.option(
    "--reference", is_flag=True, help="Print the reference file, with every key."
)
@json_option
def show(config: Path | None, reference: bool, as_json: bool) -> None:
    """Print the configuration in effect: defaults, file and environment together.

    Secrets are redacted; references to them are shown as they are.

    \b
    Examples:
      storagebus conf show --config storagebus.toml
      storagebus conf show --reference > storagebus.toml
    """
    if reference:
        if as_json or config is not None:
            raise click.UsageError("--reference prints the reference file as it is")
        text = files(__package__).joinpath("reference.toml").read_text("utf-8")
        click.echo(text, nl=False)
        return
    # Secrets are not shown, so they need not be there.
    fields = shown_fields(load(config, os.environ, hosts=()))
    if as_json:
        print_json(fields)
    else:
        click.echo(as_toml(fields), nl=False)
