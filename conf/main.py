"""`main` of the program `storagebus`.

Whatever goes wrong ends in one line on standard error and an exit code that says of
which kind it was (`conf.exits`). STORAGEBUS_DEBUG=1 adds the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from ..drivers.errors import StorageError
from ..drivers.oserrors import from_os_error
from . import exits
from .commands import NAME, Commands
from .options import OpenStore, open_client
from .problems import ConfigurationError
from .stdio import replace_missing_streams

DEBUG_VARIABLE = "STORAGEBUS_DEBUG"
COMPLETE_VARIABLE = "_STORAGEBUS_COMPLETE"


@click.group(
    cls=Commands,
    no_args_is_help=False,  # one line, like every other wrong usage
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="Exit codes: 0 done, 1 other failure, 2 usage, 3 not found, 4 invalid path, "
    "offset, parameter or driver, 5 denied, 6 full, quota or throttled, "
    "7 unavailable, 8 deadline exceeded, 9 data loss or mismatch.",
)
@click.version_option(package_name=NAME, message="%(package)s %(version)s")
def cli() -> None:
    """Storage drivers for container registries, outside the node.

    \b
    Examples:
      storagebus up --data ./objects
      storagebus ls / --endpoint ipc:///run/storagebus/clients
      storagebus COMMAND --help
    """


def main(
    args: Sequence[str] | None = None, *, open_store: OpenStore = open_client
) -> int:
    """Run the command line.

    Args:
        args: the arguments; None takes them from the process.
        open_store: gives the commands their store; tests and embedders may bring a
            store of their own.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if args is None else args)
    replace_missing_streams()
    try:
        instruction = os.environ.get(COMPLETE_VARIABLE)
        if instruction:
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, NAME, COMPLETE_VARIABLE, instruction)
        code = _run(given, open_store)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _forget_stdout()
        return exits.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED


def _run(args: list[str], open_store: OpenStore) -> int:
    try:
        with cli.make_context(NAME, args, obj=open_store) as context:
            cli.invoke(context)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.UsageError as error:
        complain(_usage(error))
        return exits.USAGE
    except (BrokenPipeError, KeyboardInterrupt, click.Abort):
        raise
    except ConfigurationError as error:
        _show_traceback()
        for problem in error.problems:
            complain(str(problem))
        return exits.exit_code(error)
    except StorageError as error:
        _show_traceback()
        complain(str(error))
        return exits.exit_code(error)
    except OSError as error:
        _show_traceback()
        name = None if error.filename is None else os.fsdecode(error.filename)
        typed = from_os_error(error, name)
        complain(str(typed))
        return exits.exit_code(typed)
    except Exception as error:
        _show_traceback()
        hint = f"please report this; {DEBUG_VARIABLE}=1 shows where it happened"
        complain(f"internal error: {type(error).__name__}: {error} ({hint})")
        return exits.FAILED
    return exits.DONE


def complain(message: str) -> None:
    """Write one line to standard error, however many the message has."""
    line = " ".join(message.split())
    try:
        click.echo(f"{NAME}: {line}", err=True)
    except OSError:
        pass  # nobody listens; the exit code still tells


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else NAME
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def _show_traceback() -> None:
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        traceback.print_exc()


def _forget_stdout() -> None:
    """Keep Python from complaining at exit that it cannot flush."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # standard output is no descriptor, as in a test
