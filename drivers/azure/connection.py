"""Connection strings, and what they say of an account. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
    "K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)
"""What UseDevelopmentStorage=true stands for: the emulator's published account."""
REALM = "core.windows.net"


@dataclass(frozen=True, slots=True)
class Connection:
    """What a connection string says.

    Attributes:
        accountname: the account; "" when only an endpoint is given.
        accountkey: its key in base64, or "".
        sastoken: a shared access signature without its "?", or "".
        serviceurl: where the account's blobs are, without a last slash.
    """

    accountname: str
    accountkey: str = field(repr=False)
    sastoken: str = field(repr=False)
    serviceurl: str


def parse_connection(value: str) -> Connection:
    """Read a connection string.

    Raises:
        ValueError: it is none; the message shows no value.
    """
    fields = _fields(value)
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        fields = _fields(DEVELOPMENT)
    name = fields.get("accountname", "")
    protocol = fields.get("defaultendpointsprotocol", "https")
    suffix = fields.get("endpointsuffix", REALM)
    url = fields.get("blobendpoint") or (name and f"{protocol}://{name}.blob.{suffix}")
    key = fields.get("accountkey", "")
    sas = fields.get("sharedaccesssignature", "").lstrip("?")
    if not url:
        raise ValueError("must have AccountName or BlobEndpoint")
    if not key and not sas:
        raise ValueError("must have AccountKey or SharedAccessSignature")
    if key and not name:
        raise ValueError("has AccountKey, so it must have AccountName")
    return Connection(name, key, sas, url.rstrip("/"))


def _fields(value: str) -> dict[str, str]:
    fields = {}
    for part in value.strip().strip(";").split(";"):
        name, equals, content = part.partition("=")
        if not equals:
            raise ValueError("must be NAME=VALUE pairs with ; between them")
        fields[name.strip().lower()] = content.strip()
    return fields
