"""The effective configuration, with secrets redacted, as data and as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..drivers.errors import InvalidStorageDriverError
from ..workers.references import PUBLIC_NAMES
from .drivers import facts
from .schema import Configuration, Service
from .secrets import shown


def shown_fields(configuration: Configuration) -> dict[str, Any]:
    """Every key with the value in effect; what is secret is redacted."""
    broker = asdict(configuration.broker)
    for door in ("clients", "workers"):
        broker[door] = list(broker[door])
    return {
        "broker": broker,
        "services": {
            name: _service_fields(service)
            for name, service in configuration.services.items()
        },
    }


def as_toml(fields: Mapping[str, Any]) -> str:
    """A document of nested maps, as `shown_fields` returns, in TOML."""
    return "\n".join(_table_lines(fields, ())) + "\n"


def _service_fields(service: Service) -> dict[str, Any]:
    try:
        public = facts(service.driver).public
    except InvalidStorageDriverError:
        # The driver is not installed here; go by names alone.
        public = PUBLIC_NAMES
    return {
        "driver": service.driver,
        "workers": service.workers,
        "workers_max": service.workers_max,
        "slots": service.slots,
        "streams": service.streams,
        "lane_bytes_max": service.lane_bytes_max,
        "parameters": shown(service.parameters, service.references, public),
    }


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """A table's own keys, then its tables; one of three levels is a section."""
    lines: list[str] = []
    inner: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping) and len(path) < 3:
            inner += _table_lines(value, (*path, name))
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    if path and (lines or not inner):
        lines = [f"[{'.'.join(map(_key, path))}]", *lines, ""]
    return lines + inner


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _string(value)
    # TOML writes numbers and booleans as JSON does, but for these three.
    return {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(
        text := json.dumps(value), text
    )


def _key(name: str) -> str:
    plain = name.replace("-", "").replace("_", "")
    return name if plain.isascii() and plain.isalnum() else _string(name)


def _string(value: str) -> str:
    # JSON's escapes are TOML's too, but for DEL and the halves of a pair.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
