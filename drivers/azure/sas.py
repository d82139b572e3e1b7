"""Shared access signatures for reading one blob. Pure: strings in and out.

Signed here and not by the SDK, because the SDK signs for its newest version of the
service's interface, which an emulator, or an older stamp, may not know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlencode

SIGNED_VERSION = "2022-11-02"


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """A key that the service gave to a caller with a token, to sign with.

    Attributes:
        oid: object id of whom it was given to.
        tid: tenant of that one.
        start: from when it is valid, as the service wrote it.
        expiry: until when it is valid, as the service wrote it.
        service: for which service, "b".
        version: of the interface that gave it.
        value: the key in base64.
        expires_at: `expiry` as a time.
    """

    oid: str
    tid: str
    start: str
    expiry: str
    service: str
    version: str
    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """What a signature allows: to read one blob until a time.

    Attributes:
        account: the account's name.
        container: the container's name.
        name: the blob's name.
        expires_at: until when.
        protocol: "https", or "https,http" for a server without TLS.
    """

    account: str
    container: str
    name: str
    expires_at: datetime
    protocol: str = "https"

    @property
    def resource(self) -> str:
        """The blob as it is signed."""
        return f"/blob/{self.account}/{self.container}/{self.name}"

    @property
    def expiry(self) -> str:
        """The time as it is signed."""
        return timestamp(self.expires_at)


def timestamp(moment: datetime) -> str:
    """A time as the service writes it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_account_key(grant: Grant, key: str) -> str:
    """The query of a URL, signed with the account's key in base64."""
    signed = [
        "r", "", grant.expiry, grant.resource, "", "", grant.protocol, SIGNED_VERSION,
        "b", "", "", "", "", "", "", "",
    ]  # fmt: skip
    return urlencode(_fields(grant) | {"sig": _signature(signed, key)})


def with_delegation_key(grant: Grant, key: DelegationKey) -> str:
    """The query of a URL, signed with a user delegation key."""
    signed = [
        "r", "", grant.expiry, grant.resource,
        key.oid, key.tid, key.start, key.expiry, key.service, key.version,
        "", "", "", "", grant.protocol, SIGNED_VERSION,
        "b", "", "", "", "", "", "", "",
    ]  # fmt: skip
    identity = {
        "skoid": key.oid,
        "sktid": key.tid,
        "skt": key.start,
        "ske": key.expiry,
        "sks": key.service,
        "skv": key.version,
    }
    return urlencode(_fields(grant) | identity | {"sig": _signature(signed, key.value)})


def blob_url(service_url: str, container: str, name: str, query: str = "") -> str:
    """The URL of a blob."""
    url = f"{service_url}/{container}/{quote(name, safe='/~')}"
    return f"{url}?{query}" if query else url


def has_expired(token: str, now: datetime) -> bool:
    """Whether a signature's own time is over; False where it does not say."""
    said = parse_qs(token).get("se", [""])[0]
    try:
        until = datetime.fromisoformat(said)
    except ValueError:
        return False
    return now > (until if until.tzinfo else until.replace(tzinfo=UTC))


def _fields(grant: Grant) -> dict[str, str]:
    return {
        "sv": SIGNED_VERSION,
        "spr": grant.protocol,
        "se": grant.expiry,
        "sr": "b",
        "sp": "r",
    }


def _signature(signed: list[str], key: str) -> str:
    text = "\n".join(signed).encode()
    digest = hmac.new(base64.b64decode(key), text, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
