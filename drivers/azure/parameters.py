"""The azure driver's parameters: the registry's own, and what modern use needs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from ..errors import InvalidParameterError
from ..parameters import REQUIRED, Parameter, boolean, parse_parameters, text, whole
from .connection import REALM, Connection, parse_connection

KIB = 1 << 10
MIB = 1 << 20
DAY_SECONDS = 24 * 3600

BLOCK_BYTES_MIN = MIB
BLOCK_BYTES_MAX = 4_000 * MIB
COPY_BYTES_MAX = 256 * MIB
"""Largest blob that one synchronous copy takes."""
API_VERSION = "2023-11-03"
"""Of the service: new enough for all that is used, old enough for its emulators."""

CREDENTIAL_TYPES = (
    "shared_key", "client_secret", "default_credentials", "managed_identity", "sas",
)  # fmt: skip

_CONTAINER = re.compile(r"\$root|[a-z0-9](?:-?[a-z0-9]){2,62}")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parameter `credentials`.

    Attributes:
        type: one of `CREDENTIAL_TYPES`, or "" for what the other parameters tell.
        clientid: of the application, or of a user-assigned managed identity.
        tenantid: of the application.
        secret: of the application.
    """

    type: str = ""
    clientid: str = ""
    tenantid: str = ""
    secret: str = field(default="", repr=False)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        given = text(value)
        if not pattern.fullmatch(given):
            raise ValueError(f"must be {what}")
        return given

    return parse


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if text(value) not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text(value)

    return parse


def _root(value: object) -> str:
    root = text(value).strip("/")
    if any(not part or part in (".", "..") for part in root.split("/") if root):
        raise ValueError("must be a path without empty components, . and ..")
    if "~" in root or not root.isascii() or not root.isprintable():
        raise ValueError("must be printable ASCII without ~")
    return root


def _url(value: object) -> str:
    url = text(value).rstrip("/")
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.netloc):
        raise ValueError("must have a scheme and a host, such as https://host")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must have neither a query nor a user; see 'sastoken'")
    return url


def _key(value: object) -> str:
    key = text(value)
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ValueError("must be in base64, as the portal shows it") from None
    return key


def _connection(value: object) -> Connection | None:
    given = text(value)
    return parse_connection(given) if given else None


def _credentials(value: object) -> Credentials:
    if not isinstance(value, Mapping):
        raise ValueError("must be a map with the key type")
    known = {item.name for item in fields(Credentials)}
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}")
    credentials = Credentials(**{name: text(given) for name, given in value.items()})
    if credentials.type and credentials.type not in CREDENTIAL_TYPES:
        raise ValueError(f"type must be one of {', '.join(CREDENTIAL_TYPES)}")
    return credentials


def _sas(value: object) -> str:
    token = text(value).lstrip("?")
    if token and "sig=" not in token:
        raise ValueError("must be a shared access signature, with sig=")
    return token


def duration(value: object) -> float:
    """Seconds, from a number of them or from a duration as Go writes it ("100ms")."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    given = value if isinstance(value, str) else ""
    parts = _DURATION.findall(given)
    if not parts or "".join(number + unit for number, unit in parts) != given:
        raise ValueError('must be a duration such as "100ms", "2s" or "1m30s"')
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _retries(value: object) -> int:
    # As in the registry: 0 means the default, and -1 none.
    given = whole(-1, 20)(value)
    return {0: 5, -1: 0}.get(given, given)


def _public(name: str, parse: Any, default: Any, help: str) -> Parameter:
    return Parameter(name, parse, default, public=True, help=help)


def _secret(name: str, parse: Any, default: Any, help: str) -> Parameter:
    return Parameter(name, parse, default, public=False, help=help)


_account = _matching(_ACCOUNT, "3 to 24 lower-case letters and digits")
_container = _matching(_CONTAINER, "3 to 63 lower-case letters, digits and single -")

PARAMETERS = (
    _public("accountname", _account, "", "account; not needed with connectionstring"),
    _public("container", _container, REQUIRED, "container; must exist"),
    _secret("accountkey", _key, "", "key of the account, for shared_key"),
    _secret("credentials", _credentials, Credentials(), "a map: type and its fields"),
    _public("credentials.type", text, "", ", ".join(CREDENTIAL_TYPES)),
    _public("credentials.clientid", text, "", "application or managed identity"),
    _public("credentials.tenantid", text, "", "tenant, for client_secret"),
    _secret("credentials.secret", text, "", "secret, for client_secret"),
    _secret("connectionstring", _connection, None, "account, endpoint, key or SAS"),
    _secret("sastoken", _sas, "", "shared access signature of account or container"),
    _public("realm", text, REALM, "domain of the cloud"),
    _public("serviceurl", _url, "", "default https://ACCOUNT.blob.REALM"),
    _public("authority", text, "", "host that gives tokens; default by realm"),
    _public("rootdirectory", _root, "", "prefix of all names"),
    _public("max_retries", _retries, 5, "retries of a request; 0 is 5, -1 is none"),
    _public("retry_delay", duration, 0.1, "pause before retry n: n times this"),
    _public("skipverify", boolean, False, "accept any certificate"),
    _public("apiversion", _matching(_VERSION, "a date such as 2023-11-03"), API_VERSION,
            "version of the service's interface"),
    _public("chunksize", whole(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), 8 * MIB,
            "bytes of a block; grows past 4,000 blocks"),
    _public("uploadmaxconcurrency", whole(1, 64), 4, "blocks at once in an upload"),
    _public("copychunksize", whole(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), 64 * MIB,
            "bytes of a copied block"),
    _public("copymaxconcurrency", whole(1, 64), 8, "blocks at once in a copy"),
    _public("copythresholdsize", whole(0, COPY_BYTES_MAX), COPY_BYTES_MAX,
            "larger blobs are copied in blocks"),
    _public("copytimeout", whole(1, 24 * 3600), 600, "seconds for a pending copy"),
    _public("readchunksize", whole(64 * KIB, 1 << 30), 8 * MIB,
            "bytes of a ranged read"),
    _public("readmaxconcurrency", whole(1, 64), 4, "ranges at once in a read"),
    _public("maxthreads", whole(1, 256), 32, "transfers at once, of all streams"),
    _public("memorybudget", whole(0), 128 * MIB, "bytes of memory for all parts"),
    _public("connecttimeout", whole(1, 3600), 3, "seconds for a connection"),
    _public("readtimeout", whole(1, 3600), 20, "seconds without a byte"),
    _public("presignlifetime", whole(1, 7 * DAY_SECONDS), 7 * DAY_SECONDS,
            "most seconds that a redirect URL works"),
    _public("checksum", _one_of("auto", "always", "never"), "auto",
            "MD5 of bodies; auto: where there is no TLS"),
    _public("uploadage", whole(0), 7 * DAY_SECONDS,
            "seconds until an idle upload is dropped; 0: never"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed parameters; each field is the parameter of that name.

    `accountname`, `accountkey`, `sastoken` and `serviceurl` are those of the
    connection string where there is one, and `credentials.type` is never empty.
    """

    accountname: str
    container: str
    accountkey: str
    credentials: Credentials
    connectionstring: Connection | None
    sastoken: str
    realm: str
    serviceurl: str
    authority: str
    rootdirectory: str
    max_retries: int
    retry_delay: float
    skipverify: bool
    apiversion: str
    chunksize: int
    uploadmaxconcurrency: int
    copychunksize: int
    copymaxconcurrency: int
    copythresholdsize: int
    copytimeout: int
    readchunksize: int
    readmaxconcurrency: int
    maxthreads: int
    memorybudget: int
    connecttimeout: int
    readtimeout: int
    presignlifetime: int
    checksum: str
    uploadage: int

    def __repr__(self) -> str:
        """Without anything that is a secret."""
        shown = (
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(self)
            if item.name in PUBLIC
        )
        return f"Options({', '.join(shown)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may contain."""
        signature = self.sastoken.partition("sig=")[2].partition("&")[0]
        given = (self.accountkey, self.sastoken, signature, self.credentials.secret)
        return tuple(value for value in given if value)

    @property
    def validated(self) -> bool:
        """Whether bodies carry a digest."""
        if self.checksum == "auto":
            return not self.serviceurl.startswith("https:")
        return self.checksum == "always"


PUBLIC = frozenset(parameter.name for parameter in PARAMETERS if parameter.public)


def parse_options(driver: str, given: Mapping[str, object]) -> Options:
    """Check the given parameters, each and together.

    Raises:
        InvalidParameterError: names what is unknown, missing or wrong.
    """
    values = parse_parameters(driver, PARAMETERS, _nested(driver, given))
    for name in [name for name in values if "." in name]:
        del values[name]
    problems = list(_merge(values))
    problems += [said for wrong, said in _combinations(values) if wrong]
    if problems:
        raise InvalidParameterError("; ".join(problems), driver=driver)
    return Options(**values)


def _nested(driver: str, given: Mapping[str, object]) -> dict[str, object]:
    """The parameters with those called `credentials.NAME` inside `credentials`."""
    flat = {name: value for name, value in given.items() if "." not in name}
    dotted = {
        name.partition(".")[2]: value
        for name, value in given.items()
        if name.startswith("credentials.")
    }
    flat |= {
        name: value
        for name, value in given.items()
        if "." in name and not name.startswith("credentials.")
    }
    whole_map = given.get("credentials", {})
    if dotted and isinstance(whole_map, Mapping):
        twice = sorted(dotted.keys() & whole_map.keys())
        if twice:
            raise InvalidParameterError(
                f"'credentials.{twice[0]}' is given twice", driver=driver
            )
        flat["credentials"] = {**whole_map, **dotted}
    return flat


def _merge(values: dict[str, Any]) -> list[str]:
    """Put what the connection string says in its place; what contradicts it."""
    connection: Connection | None = values["connectionstring"]
    problems = []
    if connection is not None:
        for name in ("accountname", "accountkey", "sastoken", "serviceurl"):
            said = getattr(connection, name)
            if said and values[name] and values[name] != said:
                problems.append(f"{name!r} differs from that in 'connectionstring'")
            values[name] = said or values[name]
    credentials: Credentials = values["credentials"]
    if not credentials.type:
        found = "shared_key" if values["accountkey"] else ""
        found = found or ("sas" if values["sastoken"] else "")
        values["credentials"] = Credentials(
            found, credentials.clientid, credentials.tenantid, credentials.secret
        )
    if not values["serviceurl"] and values["accountname"]:
        host = f"{values['accountname']}.blob.{values['realm']}"
        values["serviceurl"] = f"https://{host}"
    return problems


def _combinations(values: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """What is wrong only in combination, and what to say of it."""
    credentials: Credentials = values["credentials"]
    kind = credentials.type
    of_application = (credentials.clientid, credentials.tenantid, credentials.secret)
    return [
        (
            not values["accountname"] and not values["serviceurl"],
            "parameter 'accountname' is required (or 'connectionstring')",
        ),
        (
            not kind,
            "parameter 'credentials.type' is required "
            "(or 'connectionstring', 'accountkey', 'sastoken')",
        ),
        (
            kind == "shared_key" and not values["accountkey"],
            "credentials of type 'shared_key' need 'accountkey'",
        ),
        (
            kind == "shared_key" and not values["accountname"],
            "credentials of type 'shared_key' need 'accountname'",
        ),
        (
            kind == "client_secret" and not all(of_application),
            "credentials of type 'client_secret' need 'credentials.clientid', "
            "'credentials.tenantid' and 'credentials.secret'",
        ),
        (
            kind == "sas" and not values["sastoken"],
            "credentials of type 'sas' need 'sastoken'",
        ),
        (
            values["connectionstring"] is not None
            and kind not in ("", "shared_key", "sas"),
            f"'connectionstring' and credentials of type {kind!r} exclude each other",
        ),
    ]
