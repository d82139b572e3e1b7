"""What is known of a driver before it is made: its parameters, and its limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..drivers.contract import Capabilities
from ..drivers.errors import InvalidParameterError, InvalidStorageDriverError
from ..drivers.factory import EXECUTABLE_PREFIX, find
from ..drivers.parameters import REQUIRED, Parameter
from ..workers.executable import find_executable
from ..workers.references import PUBLIC_NAMES

Parse = Callable[[str, Mapping[str, object]], object]
"""Takes the driver's name and the parameters; raises InvalidParameterError."""


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """What could be learned without making the driver.

    Attributes:
        name: the driver's name.
        executable: path of `registry-storage-NAME` when the driver is one; else None.
        table: its parameters, or None when it does not say.
        public: names of the parameters that may be shown.
        shared: whether several processes may serve it; None when it does not say.
        parse: checks its parameters together; None when it does not offer that.
    """

    name: str
    executable: str | None = None
    table: tuple[Parameter, ...] | None = None
    public: frozenset[str] = PUBLIC_NAMES
    shared: bool | None = None
    parse: Parse | None = None

    def check(
        self, given: Mapping[str, object], *, whole: bool = True
    ) -> dict[str, str]:
        """What is wrong with parameters, by name; "" stands for all together.

        Args:
            given: the parameters.
            whole: whether their values are all there, so that they can be checked
                together as well.
        """
        if self.table is None:
            return {}
        wrong: dict[str, str] = {}
        known = {parameter.name: parameter for parameter in self.table}
        for name in given:
            if name in known:
                try:
                    known[name].parse(given[name])
                except (ValueError, TypeError) as error:
                    wrong[name] = str(error)
        missing = [
            f"the parameter {name!r} is required"
            for name, parameter in known.items()
            if parameter.default is REQUIRED and name not in given
        ]
        if missing:
            wrong[""] = "; ".join(missing)
        if whole and not wrong and self.parse is not None:
            try:
                self.parse(self.name, given)
            except InvalidParameterError as error:
                wrong[""] = error.detail
        return wrong


def facts(name: str) -> DriverFacts:
    """Look a driver up as `drivers.create` would, without making it.

    Args:
        name: as in `create(name, ...)`.

    Raises:
        InvalidStorageDriverError: there is none of that name, or it cannot be imported.
    """
    factory, tried = find(name)
    if factory is None:
        executable = find_executable(name)
        if executable is None:
            tried.append(f"the executable {EXECUTABLE_PREFIX}{name} on PATH")
            raise InvalidStorageDriverError(f"{name!r}; looked for: {', '.join(tried)}")
        return DriverFacts(name, executable=executable)
    module = sys.modules.get(factory.__module__)
    table, parse = (
        getattr(module, key, None) for key in ("PARAMETERS", "parse_options")
    )
    if not _is_table(table):
        table = parse = None
    public = PUBLIC_NAMES.union(getattr(factory, "public_parameters", None) or ())
    if table is not None:
        # A table knows better than a guess by name.
        public -= {parameter.name for parameter in table}
        public |= {parameter.name for parameter in table if parameter.public}
    capabilities = getattr(factory, "capabilities", None)
    shared = capabilities.shared if isinstance(capabilities, Capabilities) else None
    return DriverFacts(name, table=table, public=public, shared=shared, parse=parse)


def _is_table(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(item, Parameter) for item in value
    )
