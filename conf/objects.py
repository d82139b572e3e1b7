"""Commands for single objects: stat, cat, mv, rm, url."""

from __future__ import annotations

import sys

import click

from ..drivers.errors import (
    PathConflictError,
    PathNotFoundError,
    UnsupportedMethodError,
)
from .options import Target, json_option, opened, target_options
from .output import info_fields, print_json


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@json_option
@target_options
def stat(target: Target, paths: tuple[str, ...], as_json: bool) -> None:
    """Show size, time and identity of objects and directories.

    \b
    Examples:
      storagebus stat /images/layer
      storagebus stat --json /images /images/layer
    """
    with opened(target) as store:
        for path in paths:
            fields = info_fields(store.stat(path))
            if as_json:
                print_json(fields)
                continue
            fields["kind"] = "directory" if fields.pop("is_dir") else "object"
            for name in ("path", "kind", "size", "mod_time", "identity"):
                if fields[name] is not None:
                    click.echo(f"{name + ':':<10}{fields[name]}")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--offset", type=int, default=0, help="First byte.  [default: 0]")
@click.option("--length", type=int, help="Bytes at most.  [default: to the end]")
@target_options
def cat(
    target: Target, paths: tuple[str, ...], offset: int, length: int | None
) -> None:
    """Write objects to standard output, one after the other.

    \b
    Examples:
      storagebus cat /images/manifest
      storagebus cat --offset 1024 --length 512 /images/layer | xxd
    """
    from ..client.transfer import Tally
    from ..client.transfer_get import get_stream

    with opened(target) as store:
        output = sys.stdout.buffer
        for path in paths:
            get_stream(store, path, output, Tally(), offset=offset, length=length)
        output.flush()


@click.command()
@click.argument("source")
@click.argument("destination")
@target_options
def mv(target: Target, source: str, destination: str) -> None:
    """Move one object; what was at the destination is replaced.

    \b
    Examples:
      storagebus mv /incoming/layer /images/layer
    """
    with opened(target) as store:
        store.move(source, destination)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-r", "--recursive", is_flag=True, help="Delete directories too.")
@target_options
def rm(target: Target, paths: tuple[str, ...], recursive: bool) -> None:
    """Delete objects, and with -r directories with all below them.

    \b
    Examples:
      storagebus rm /images/layer
      storagebus rm -r /images/old
    """
    with opened(target) as store:
        for path in paths:
            if not recursive:
                try:
                    info = store.stat(path)
                except PathNotFoundError:
                    pass  # perhaps an upload was kept there, which delete drops
                else:
                    if info.is_dir:
                        raise PathConflictError(
                            "a directory; -r deletes it with all below it", path=path
                        )
            store.delete(path)


@click.command()
@click.argument("path")
@click.option(
    "--method",
    type=click.Choice(["GET", "HEAD"]),
    default="GET",
    show_default=True,
    help="What the URL is for.",
)
@click.option(
    "--expires",
    type=int,
    default=1200,
    show_default=True,
    metavar="SECONDS",
    help="How long it works.",
)
@json_option
@target_options
def url(target: Target, path: str, method: str, expires: int, as_json: bool) -> None:
    """Make a URL at which anyone can fetch the object, for a time.

    Drivers that keep objects on a disk have no such URLs.

    \b
    Examples:
      storagebus url /images/layer --expires 600
    """
    with opened(target) as store:
        made = store.redirect_url(path, method, expires)
        if made is None:
            raise UnsupportedMethodError(
                "this driver makes no URLs", path=path, driver=store.name
            )
        if as_json:
            print_json({"path": path, "method": method, "url": made})
        else:
            click.echo(made)
