"""The s3 driver's parameters: the registry's own, and what modern use needs besides."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from ..errors import InvalidParameterError
from ..parameters import REQUIRED, Parameter, boolean, parse_parameters, text, whole

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

PART_BYTES_MIN = 5 * MIB
PART_BYTES_MAX = 5 * GIB
COPY_BYTES_MAX = 5 * GIB
"""Largest object that one CopyObject takes."""

DAY_SECONDS = 24 * 3600

STORAGE_CLASSES = (
    "NONE", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA",
    "INTELLIGENT_TIERING", "OUTPOSTS", "GLACIER_IR", "EXPRESS_ONEZONE",
)  # fmt: skip
OBJECT_ACLS = (
    "private", "public-read", "public-read-write", "authenticated-read",
    "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control",
)  # fmt: skip
LOG_LEVELS = (
    "off", "debug", "debugwithsigning", "debugwithhttpbody", "debugwithrequestretries",
    "debugwithrequesterrors", "debugwitheventstreambody",
)  # fmt: skip

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}")


def _one_of(*choices: str, fold: Callable[[str], str] = str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        chosen = fold(text(value))
        if chosen not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return chosen

    return parse


def _bucket(value: object) -> str:
    name = text(value)
    if not _BUCKET.fullmatch(name):
        raise ValueError("must be the name of a bucket, or the ARN of an access point")
    return name


def _region(value: object) -> str:
    region = text(value)
    if not region:
        raise ValueError("must not be empty")
    return region


def _root(value: object) -> str:
    root = text(value).strip("/")
    if any(not part or part in (".", "..") for part in root.split("/") if root):
        raise ValueError("must be a path without empty components, . and ..")
    if "~" in root or not root.isascii() or not root.isprintable():
        raise ValueError("must be printable ASCII without ~")
    return root


def _log_level(value: object) -> str:
    # As in the registry: what is unknown, and YAML's bare `off`, means off.
    level = value.lower() if isinstance(value, str) else "off"
    return level if level in LOG_LEVELS else "off"


def _customer_key(value: object) -> bytes:
    try:
        key = base64.b64decode(text(value), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError("must be 32 bytes in base64")
    return key


def _redirect_endpoint(value: object) -> str:
    url = text(value)
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.netloc):
        raise ValueError("must have a scheme and a host, such as https://host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must have neither a path nor a query")
    return url.rstrip("/")


def _endpoint(value: object) -> str:
    url = text(value)
    host = url if "://" not in url else urlsplit(url).netloc
    if url and (not host or any(sign in url for sign in " ?#@")):
        raise ValueError("must be a host, host:port or http(s) URL")
    return url.rstrip("/")


def _public(name: str, parse: Any, default: Any, help: str) -> Parameter:
    return Parameter(name, parse, default, public=True, help=help)


def _secret(name: str, parse: Any, default: Any, help: str) -> Parameter:
    return Parameter(name, parse, default, public=False, help=help)


_part = whole(PART_BYTES_MIN, PART_BYTES_MAX)

PARAMETERS = (
    _public("region", _region, REQUIRED, "region of the bucket"),
    _public("bucket", _bucket, REQUIRED, "bucket; must exist"),
    _secret("accesskey", text, "", "access key; without both keys, the SDK's chain"),
    _secret("secretkey", text, "", "secret key"),
    _secret("sessiontoken", text, "", "session token of temporary keys"),
    _public("rolearn", text, "", "role to assume with the credentials found"),
    _public("rolesessionname", text, "storagebus", "name of the role's session"),
    _secret("externalid", text, "", "external id that the role asks for"),
    _public("webidentitytokenfile", text, "", "file of a token, to assume rolearn"),
    _public("regionendpoint", _endpoint, "", "endpoint of another S3 implementation"),
    _public("forcepathstyle", boolean, False, "bucket in the path, not in the host"),
    _public("redirectendpoint", _redirect_endpoint, "", "endpoint of redirect URLs"),
    _public("rootdirectory", _root, "", "prefix of all keys"),
    _public("secure", boolean, True, "https; false is http"),
    _public("skipverify", boolean, False, "accept any certificate"),
    _public("v4auth", boolean, True, "signature version 4; 2 only with regionendpoint"),
    _public("usedualstack", boolean, False, "IPv4 and IPv6 endpoints of AWS"),
    _public("accelerate", boolean, False, "S3 Transfer Acceleration"),
    _public("usefipsendpoint", boolean, False, "FIPS endpoints of AWS"),
    _public("useragent", text, "", "appended to the User-Agent header"),
    _public("encrypt", boolean, False, "server-side encryption: AES256, or KMS"),
    _secret("keyid", text, "", "KMS key; ignored without encrypt"),
    _secret("ssecustomerkey", _customer_key, b"", "SSE-C key: 32 bytes in base64"),
    _public(
        "storageclass",
        _one_of(*STORAGE_CLASSES, fold=str.upper),
        "STANDARD",
        "storage class; NONE leaves it to the bucket",
    ),
    _public("objectacl", _one_of(*OBJECT_ACLS), "private", "canned ACL of objects"),
    _public("chunksize", _part, 10 * MIB, "bytes of a part; grows past 1,250 parts"),
    _public(
        "multipartuploadmaxconcurrency", whole(1, 64), 4, "parts at once in an upload"
    ),
    _public("multipartcopychunksize", _part, 32 * MIB, "bytes of a copied part"),
    _public("multipartcopymaxconcurrency", whole(1), 100, "parts at once in a copy"),
    _public(
        "multipartcopythresholdsize",
        whole(0, COPY_BYTES_MAX),
        32 * MIB,
        "larger objects are copied in parts",
    ),
    _public("readchunksize", whole(64 * KIB, GIB), 8 * MIB, "bytes of a ranged read"),
    _public("readmaxconcurrency", whole(1, 64), 4, "ranges at once in a read"),
    _public("maxthreads", whole(1, 256), 32, "transfers at once, of all streams"),
    _public("memorybudget", whole(0), 128 * MIB, "bytes of memory for all parts"),
    _public("connecttimeout", whole(1, 3600), 3, "seconds for a connection"),
    _public("readtimeout", whole(1, 3600), 20, "seconds without a byte"),
    _public("maxattempts", whole(1, 20), 3, "tries of a request"),
    _public(
        "retrymode", _one_of("standard", "adaptive", "legacy"), "standard", "of the SDK"
    ),
    _public("presignlifetime", whole(1, 7 * DAY_SECONDS), 7 * DAY_SECONDS,
            "most seconds that a redirect URL works"),
    _public("checksum", _one_of("auto", "md5", "supported", "required"), "auto",
            "of uploads: auto is the SDK's CRC on AWS, Content-MD5 elsewhere"),
    _public("listorder", _one_of("auto", "bytes", "tree"), "auto",
            "order of the server's listings; auto finds out"),
    _public("uploadage", whole(0), 7 * DAY_SECONDS,
            "seconds until an idle upload is dropped; 0: never"),
    _public("loglevel", _log_level, "off", "anything but off logs each request"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed parameters; each field is the parameter of that name."""

    region: str
    bucket: str
    accesskey: str
    secretkey: str
    sessiontoken: str
    rolearn: str
    rolesessionname: str
    externalid: str
    webidentitytokenfile: str
    regionendpoint: str
    forcepathstyle: bool
    redirectendpoint: str
    rootdirectory: str
    secure: bool
    skipverify: bool
    v4auth: bool
    usedualstack: bool
    accelerate: bool
    usefipsendpoint: bool
    useragent: str
    encrypt: bool
    keyid: str
    ssecustomerkey: bytes
    storageclass: str
    objectacl: str
    chunksize: int
    multipartuploadmaxconcurrency: int
    multipartcopychunksize: int
    multipartcopymaxconcurrency: int
    multipartcopythresholdsize: int
    readchunksize: int
    readmaxconcurrency: int
    maxthreads: int
    memorybudget: int
    connecttimeout: int
    readtimeout: int
    maxattempts: int
    retrymode: str
    presignlifetime: int
    checksum: str
    listorder: str
    uploadage: int
    loglevel: str

    def __repr__(self) -> str:
        """Without anything that is a secret."""
        shown = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name in PUBLIC
        )
        return f"Options({', '.join(shown)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may contain."""
        values = (getattr(self, field.name) for field in fields(self)
                  if field.name not in PUBLIC)  # fmt: skip
        return tuple(value for value in values if isinstance(value, str) and value)

    @property
    def on_aws(self) -> bool:
        """Whether the store is Amazon's own."""
        return not self.regionendpoint

    @property
    def content_md5(self) -> bool:
        """Whether each body goes with its MD5, which every server checks."""
        return self.checksum == "md5" or (self.checksum == "auto" and not self.on_aws)

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint with its scheme, or None for Amazon's."""
        if not self.regionendpoint or "://" in self.regionendpoint:
            return self.regionendpoint or None
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{self.regionendpoint}"


PUBLIC = frozenset(parameter.name for parameter in PARAMETERS if parameter.public)


def parse_options(driver: str, given: Mapping[str, object]) -> Options:
    """Check the given parameters, each and together.

    Raises:
        InvalidParameterError: names what is unknown, missing or wrong.
    """
    options = Options(**parse_parameters(driver, PARAMETERS, given))
    problems = [text for wrong, text in _combinations(options) if wrong]
    if problems:
        raise InvalidParameterError("; ".join(problems), driver=driver)
    return options


def _combinations(options: Options) -> list[tuple[bool, str]]:
    """What is wrong only in combination, and what to say of it."""
    return [
        (
            bool(options.accesskey) != bool(options.secretkey),
            "'accesskey' and 'secretkey' must be given together, or neither",
        ),
        (
            bool(options.sessiontoken) and not options.accesskey,
            "'sessiontoken' needs 'accesskey' and 'secretkey'",
        ),
        (
            bool(options.webidentitytokenfile) and not options.rolearn,
            "'webidentitytokenfile' needs 'rolearn'",
        ),
        (
            not options.v4auth and options.on_aws,
            "'v4auth' may be false only with 'regionendpoint'",
        ),
        (
            bool(options.ssecustomerkey) and options.encrypt,
            "'ssecustomerkey' and 'encrypt' exclude each other",
        ),
        (
            options.accelerate and not options.on_aws,
            "'accelerate' is not possible with 'regionendpoint'",
        ),
    ]  # fmt: skip
