"""Which parameters a child may have on its command line, and which by reference.

A command line can be read by every user of the machine. So the JSON map in argv[1]
holds only what is plainly public; in place of any other value it has the reference
{"$secret": NAME}, and the value travels on the child's own descriptor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..drivers.errors import InvalidParameterError
from .spawned import REFERENCE_KEY

ARGUMENT_BYTES_MAX = 65_536

PUBLIC_NAMES = frozenset(
    {
        "accelerate",
        "accountname",
        "bucket",
        "chunksize",
        "container",
        "copythreshold",
        "encrypt",
        "forcepathstyle",
        "maxbytes",
        "maxretries",
        "maxthreads",
        "multipartcopychunksize",
        "multipartcopymaxconcurrency",
        "multipartcopythresholdsize",
        "realm",
        "region",
        "regionendpoint",
        "rootdirectory",
        "secure",
        "skipverify",
        "storageclass",
        "usedualstack",
        "v4auth",
    }
)
"""Names that are no secret in any driver: those of places, sizes and switches."""


def split_secrets(
    parameters: Mapping[str, object], public: Iterable[str] = ()
) -> tuple[str, dict[str, Any]]:
    """Split parameters into what everybody may see and what nobody may.

    Args:
        parameters: the driver's, as JSON can express them.
        public: names that are public beside `PUBLIC_NAMES`: the driver's own
            `public_parameters`, if the driver is known in this process.

    Returns:
        The JSON text for argv[1], and the values to be sent on the descriptor.

    Raises:
        InvalidParameterError: JSON cannot express a value, or there are too many.
            Values are not shown: they may be secrets.
    """
    open_names = PUBLIC_NAMES.union(public)
    shown: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in open_names and _is_harmless(value):
            shown[name] = value
        else:
            shown[name] = {REFERENCE_KEY: name}
            secrets[name] = value
        _check(name, value)
    argument = json.dumps(shown, separators=(",", ":"))
    if len(argument) > ARGUMENT_BYTES_MAX:
        raise InvalidParameterError(
            f"the parameters take {len(argument)} bytes; "
            f"a child process is given {ARGUMENT_BYTES_MAX} at most"
        )
    return argument, secrets


def _is_harmless(value: object) -> bool:
    """Whether the value of a public name may be shown: no map, no URL with a password.

    A map could also be taken for a reference.
    """
    if isinstance(value, str):
        return not ("://" in value and "@" in value)
    return isinstance(value, (bool, int, float))


def _check(name: str, value: object) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidParameterError(
            f"the value of {name!r} cannot be sent to a child process: "
            "it must be a string, a number, a boolean, null, or a list or map of these"
        ) from None
