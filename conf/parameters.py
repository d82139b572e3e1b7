"""The option --parameters: a driver's parameters as JSON."""

from __future__ import annotations

import json
from typing import Any

import click


class JsonMap(click.ParamType[dict[str, Any]]):
    """A JSON object; what is wrong with it is said without showing it."""

    name = "JSON"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            given = json.loads(value)
        except ValueError as error:
            self.fail(f"not JSON ({error})", param, ctx)
        if not isinstance(given, dict):
            self.fail('must be a map, as in {"rootdirectory": "/data"}', param, ctx)
        return given


parameters_option = click.option(
    "--parameters",
    type=JsonMap(),
    metavar="JSON",
    help="The driver's parameters, as a JSON map.",
)
