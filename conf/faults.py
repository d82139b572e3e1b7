"""The option --faults: a plan by which workers fail on purpose."""

from __future__ import annotations

from typing import Any

import click

from ..drivers.errors import InvalidParameterError
from ..workers.faults import parse_plan
from ..workers.spawned import FAULTS


class FaultPlanText(click.ParamType[str]):
    """The JSON of a plan of faults, checked and left as it is."""

    name = "JSON"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        try:
            parse_plan(value)
        except InvalidParameterError as error:
            self.fail(error.detail, param, ctx)
        return str(value)


faults_option = click.option(
    "--faults",
    type=FaultPlanText(),
    metavar="JSON",
    envvar=FAULTS,
    help="For tests: a plan by which workers fail on purpose (PROTOCOL.md, section "
    f"10).  [{FAULTS}]",
)
