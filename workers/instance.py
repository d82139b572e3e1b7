"""Which store a worker serves, in a word that brokers can compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

INSTANCE_CHARACTERS = 32


def instance_of(driver: str, parameters: Mapping[str, Any]) -> str:
    """Equal for equal driver and parameters, whatever their order; else different.

    Args:
        driver: the driver's name.
        parameters: its parameters; values that JSON does not know count as their
            text.

    Returns:
        Hexadecimal digits that do not show the parameters.
    """
    canonical = json.dumps(
        [driver, dict(parameters)], sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:INSTANCE_CHARACTERS]
