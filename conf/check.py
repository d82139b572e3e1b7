"""The check of a configuration: from plain values to a `Configuration`, or problems.

Every problem is found before any is reported, each with its file, line and key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..broker.addresses import is_local
from ..drivers.errors import InvalidStorageDriverError
from ..drivers.parameters import REQUIRED, Parameter
from ..workers.references import PUBLIC_NAMES
from .drivers import DriverFacts, facts
from .environment import overrides, variable
from .lines import KeyPath
from .problems import PROBLEMS_MAX, ConfigurationError, Problem, dotted, suggestion
from .schema import (
    BROKER_KEYS,
    SERVICE_KEYS,
    SERVICES_MAX,
    Broker,
    Configuration,
    Service,
    service_name,
)
from .secrets import Reference, as_reference

SECTIONS = ("broker", "services")

Options = Mapping[KeyPath, tuple[str, object]]
"""Values from the command line by the path of their key, with the option's name."""
NO_OPTIONS: Options = MappingProxyType({})


def check(
    document: Mapping[str, Any],
    lines: Mapping[KeyPath, int],
    origin: str,
    environ: Mapping[str, str],
    hosts: Collection[str] | None = None,
    *,
    options: Options = NO_OPTIONS,
    listens: bool = True,
) -> Configuration:
    """Check a document that has been read.

    Args:
        document: the sections, as `tomllib` returns them.
        lines: line of each key, as `lines.scan` returns them.
        origin: the file's name, or what else the document came from.
        environ: the process's environment.
        hosts: as in `load`.
        options: as in `load`.
        listens: as in `load`.

    Raises:
        ConfigurationError: holds every problem.
    """
    return _Check(lines, origin, environ, hosts, listens).run(document, options)


class _Check:
    """One pass over a document; problems pile up in `problems`."""

    def __init__(
        self,
        lines: Mapping[KeyPath, int],
        origin: str,
        environ: Mapping[str, str],
        hosts: Collection[str] | None,
        listens: bool,
    ) -> None:
        self._lines = lines
        self._origin = origin
        self._directory = Path(origin).parent
        self._environ = environ
        self._hosts = hosts
        self._facts: dict[str, DriverFacts | InvalidStorageDriverError] = {}
        self._listens = listens
        self._overridden: dict[KeyPath, str] = {}
        """Where the values came from that are not the file's."""
        self.problems: list[Problem] = []

    def run(self, document: Mapping[str, Any], options: Options) -> Configuration:
        self._unknown(document, SECTIONS, ())
        sections = {name: self._table(document, name) for name in SECTIONS}
        services = {
            name: dict(section)
            for name, section in sections["services"].items()
            if self._is_table(section, ("services", name))
        }
        broker_values = dict(sections["broker"])
        whole = {"broker": broker_values, "services": services}
        given, problems = overrides(
            self._environ,
            services,
            lambda name, driver: self._parameter_names(services.get(name, {}), driver),
        )
        self.problems += problems
        for path, value in given.items():
            self._override(whole, path, value, variable(path))
        for path, (option, chosen) in options.items():
            self._override(whole, path, chosen, option)
        broker = self._broker(whole["broker"])
        services = whole["services"]
        if len(services) > SERVICES_MAX:
            self._problem(("services",), f"more than {SERVICES_MAX} services")
        checked = [self._service(name, values) for name, values in services.items()]
        if self.problems:
            unique = list(dict.fromkeys(self.problems))
            unique.sort(key=lambda problem: (problem.origin, problem.line or 0))
            raise ConfigurationError(unique[:PROBLEMS_MAX])
        return Configuration(
            self._origin,
            broker,
            {service.name: service for service in checked if service is not None},
        )

    def _override(
        self, whole: dict[str, Any], path: KeyPath, value: object, origin: str
    ) -> None:
        target = whole
        for part in map(str, path[:-1]):
            inner = target.get(part)
            # A copy: what `tomllib` returned stays as it was.
            target[part] = dict(inner) if isinstance(inner, Mapping) else {}
            target = target[part]
        target[str(path[-1])] = value
        self._overridden[path] = origin

    def _broker(self, given: Mapping[str, Any]) -> Broker:
        values = self._values(given, BROKER_KEYS, ("broker",))
        broker = Broker(**values)
        for key in ("clients", "workers"):
            listed: tuple[str, ...] = getattr(broker, key)
            if broker.processes > 1 and len(listed) not in (0, broker.processes):
                self._problem(
                    ("broker", key),
                    f"processes = {broker.processes} needs as many addresses, one for "
                    f"each broker; here are {len(listed)}",
                )
            for index, address in enumerate(listed):
                path: KeyPath = ("broker", key)
                if (*path, index) in self._lines and path not in self._overridden:
                    path = (*path, index)
                if self._listens and not (
                    is_local(address) or broker.allow_unauthenticated_network
                ):
                    self._problem(
                        path,
                        f"{address} can be reached from other hosts, and without keys "
                        "anyone there may read and delete; use ipc:// or "
                        "tcp://127.0.0.1, or set allow_unauthenticated_network = true",
                    )
                if key == "workers" and address in broker.clients:
                    self._problem(
                        path,
                        f"{address} is the clients' door already; "
                        "each door needs an address of its own",
                    )
        return broker

    def _service(self, name: str, given: Mapping[str, Any]) -> Service | None:
        path: KeyPath = ("services", name)
        try:
            service_name(name)
        except ValueError as error:
            self._problem(path, f"a service's name {error}")
        values = self._values(given, SERVICE_KEYS, path)
        parameters = dict(values.pop("parameters", None) or {})
        driver = values.get("driver")
        path = (*path, "parameters")
        for parameter, value in parameters.items():
            if not _is_plain(value):
                self._problem(
                    (*path, parameter), "dates and times are not for parameters"
                )
        references = self._references(parameters, path)
        if self._hosts is None or name in self._hosts:
            resolved, lost = self._resolve(parameters, references, path)
            if isinstance(driver, str):
                self._workers(name, driver, values)
                self._driver(name, driver, resolved, lost)
        else:
            resolved = {k: v for k, v in parameters.items() if k not in references}
        if not isinstance(driver, str):
            return None
        return Service(name, parameters=resolved, references=references, **values)

    def _workers(self, name: str, driver: str, values: Mapping[str, Any]) -> None:
        path: KeyPath = ("services", name)
        known = self._look_up(driver)
        if isinstance(known, DriverFacts) and known.shared is False:
            for key in ("workers", "workers_max"):
                if values.get(key, 1) > 1:
                    self._problem(
                        (*path, key),
                        f"driver {driver!r} keeps its objects in one process; must be "
                        "1",
                    )
        least, most = values.get("workers", 1), values.get("workers_max", 0)
        if 0 < most < least:
            self._problem(
                (*path, "workers_max"),
                f"must be 0, or at least workers, which is {least}",
            )

    def _driver(
        self,
        name: str,
        driver: str,
        parameters: Mapping[str, object],
        lost: Collection[str],
    ) -> None:
        path: KeyPath = ("services", name)
        known = self._look_up(driver)
        if isinstance(known, InvalidStorageDriverError):
            self._problem((*path, "driver"), str(known))
            return
        for parameter, message in known.check(parameters, whole=not lost).items():
            if parameter in lost:
                continue  # said already
            key = (*path, "parameters", parameter) if parameter else path
            self._problem(key, message)
        if known.table is not None:
            table = [parameter.name for parameter in known.table]
            self._unknown(parameters, table, (*path, "parameters"))

    def _references(
        self, parameters: Mapping[str, object], path: KeyPath
    ) -> dict[str, Reference]:
        found: dict[str, Reference] = {}
        for name, value in parameters.items():
            try:
                reference = as_reference(value)
            except ValueError as error:
                self._problem((*path, name), str(error))
            else:
                if reference is not None:
                    found[name] = reference
        return found

    def _resolve(
        self,
        parameters: Mapping[str, object],
        references: Mapping[str, Reference],
        path: KeyPath,
    ) -> tuple[dict[str, object], list[str]]:
        """The parameters with their secrets, and the names of those not found."""
        values = dict(parameters)
        lost: list[str] = []
        for name, reference in references.items():
            try:
                values[name] = reference.resolve(self._environ, self._directory)
            except ValueError as error:
                self._problem((*path, name), str(error))
                values[name] = ""
                lost.append(name)
        return values, lost

    def _values(
        self, given: Mapping[str, Any], keys: Iterable[Parameter], path: KeyPath
    ) -> dict[str, Any]:
        """The values of a section's keys that are there and right."""
        known = {key.name: key for key in keys}
        self._unknown(given, known, path)
        values: dict[str, Any] = {}
        for name, key in known.items():
            if name not in given:
                if key.default is REQUIRED:
                    self._problem(path, f"{name!r} is missing: {key.help}")
                continue
            try:
                values[name] = key.parse(given[name])
            except (ValueError, TypeError) as error:
                self._problem((*path, name), str(error))
        return values

    def _unknown(
        self, given: Iterable[str], known: Iterable[str], path: KeyPath
    ) -> None:
        names = list(known)
        for name in given:
            if name not in names:
                self._problem((*path, name), suggestion(name, names))

    def _parameter_names(
        self, section: Mapping[str, Any], driver: str | None
    ) -> set[str]:
        """How the parameters of a service are spelled, as far as can be told."""
        given = section.get("parameters")
        names = set(given) if isinstance(given, Mapping) else set()
        chosen = driver or section.get("driver")
        if isinstance(chosen, str):
            known = self._look_up(chosen)
            if isinstance(known, DriverFacts) and known.table is not None:
                names |= {parameter.name for parameter in known.table}
        return names | PUBLIC_NAMES

    def _look_up(self, driver: str) -> DriverFacts | InvalidStorageDriverError:
        if driver not in self._facts:
            try:
                self._facts[driver] = facts(driver)
            except InvalidStorageDriverError as error:
                self._facts[driver] = error
        return self._facts[driver]

    def _table(self, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        section = document.get(name, {})
        return section if self._is_table(section, (name,)) else {}

    def _is_table(self, section: object, path: KeyPath) -> bool:
        if isinstance(section, Mapping):
            return True
        self._problem(path, f"must be a table: [{dotted(path)}]")
        return False

    def _problem(self, path: KeyPath, message: str) -> None:
        near = path
        while near and near not in self._lines and near not in self._overridden:
            near = near[:-1]
        if near in self._overridden:
            origin, line = self._overridden[near], None
        else:
            origin, line = self._origin, self._lines.get(near)
        self.problems.append(Problem(origin, line, dotted(path), message))


def _is_plain(value: object) -> bool:
    """Whether a value can be handed to a worker's process, as JSON."""
    if isinstance(value, Mapping):
        return all(_is_plain(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(inner) for inner in value)
    return value is None or isinstance(value, (str, bool, int, float))
