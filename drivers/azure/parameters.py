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
from ..objectstore.parameters import COMMON, MIB, Shown, one_of, public, secret
from ..parameters import REQUIRED, parse_parameters, text, whole
from .connection import REALM, Connection, parse_connection

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


_account = _matching(_ACCOUNT, "3 to 24 lower-case letters and digits")
_container = _matching(_CONTAINER, "3 to 63 lower-case letters, digits and single -")

PARAMETERS = (
    public("accountname", _account, "", "account; not needed with connectionstring"),
    public("container", _container, REQUIRED, "container; must exist"),
    secret("accountkey", _key, "", "key of the account, for shared_key"),
    secret("credentials", _credentials, Credentials(), "a map: type and its fields"),
    public("credentials.type", text, "", ", ".join(CREDENTIAL_TYPES)),
    public("credentials.clientid", text, "", "application or managed identity"),
    public("credentials.tenantid", text, "", "tenant, for client_secret"),
    secret("credentials.secret", text, "", "secret, for client_secret"),
    secret("connectionstring", _connection, None, "account, endpoint, key or SAS"),
    secret("sastoken", _sas, "", "shared access signature of account or container"),
    public("realm", text, REALM, "domain of the cloud"),
    public("serviceurl", _url, "", "default https://ACCOUNT.blob.REALM"),
    public("authority", text, "", "host that gives tokens; default by realm"),
    public("max_retries", _retries, 5, "retries of a request; 0 is 5, -1 is none"),
    public("retry_delay", duration, 0.1, "pause before retry n: n times this"),
    public("apiversion", _matching(_VERSION, "a date such as 2023-11-03"), API_VERSION,
            "version of the service's interface"),
    public("chunksize", whole(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), 8 * MIB,
            "bytes of a block; grows past 4,000 blocks"),
    public("uploadmaxconcurrency", whole(1, 64), 4, "blocks at once in an upload"),
    public("copychunksize", whole(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), 64 * MIB,
            "bytes of a copied block"),
    public("copymaxconcurrency", whole(1, 64), 8, "blocks at once in a copy"),
    public("copythresholdsize", whole(0, COPY_BYTES_MAX), COPY_BYTES_MAX,
            "larger blobs are copied in blocks"),
    public("copytimeout", whole(1, 24 * 3600), 600, "seconds for a pending copy"),
    public("checksum", one_of("auto", "always", "never"), "auto",
            "MD5 of bodies; auto: where there is no TLS"),
    *COMMON,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options(Shown):
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
        return self.shown(PUBLIC)

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
