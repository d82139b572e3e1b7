"""The s3 driver's parameters: the registry's own, and what modern use needs besides."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from ..errors import InvalidParameterError
from ..objectstore.parameters import COMMON, GIB, MIB, Shown, one_of, public, secret
from ..parameters import REQUIRED, boolean, parse_parameters, text, whole

PART_BYTES_MIN = 5 * MIB
PART_BYTES_MAX = 5 * GIB
COPY_BYTES_MAX = 5 * GIB
"""Largest object that one CopyObject takes."""

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


_part = whole(PART_BYTES_MIN, PART_BYTES_MAX)

PARAMETERS = (
    public("region", _region, REQUIRED, "region of the bucket"),
    public("bucket", _bucket, REQUIRED, "bucket; must exist"),
    secret("accesskey", text, "", "access key; without both keys, the SDK's chain"),
    secret("secretkey", text, "", "secret key"),
    secret("sessiontoken", text, "", "session token of temporary keys"),
    public("rolearn", text, "", "role to assume with the credentials found"),
    public("rolesessionname", text, "storagebus", "name of the role's session"),
    secret("externalid", text, "", "external id that the role asks for"),
    public("webidentitytokenfile", text, "", "file of a token, to assume rolearn"),
    public("regionendpoint", _endpoint, "", "endpoint of another S3 implementation"),
    public("forcepathstyle", boolean, False, "bucket in the path, not in the host"),
    public("redirectendpoint", _redirect_endpoint, "", "endpoint of redirect URLs"),
    public("secure", boolean, True, "https; false is http"),
    public("v4auth", boolean, True, "signature version 4; 2 only with regionendpoint"),
    public("usedualstack", boolean, False, "IPv4 and IPv6 endpoints of AWS"),
    public("accelerate", boolean, False, "S3 Transfer Acceleration"),
    public("usefipsendpoint", boolean, False, "FIPS endpoints of AWS"),
    public("useragent", text, "", "appended to the User-Agent header"),
    public("encrypt", boolean, False, "server-side encryption: AES256, or KMS"),
    secret("keyid", text, "", "KMS key; ignored without encrypt"),
    secret("ssecustomerkey", _customer_key, b"", "SSE-C key: 32 bytes in base64"),
    public(
        "storageclass",
        one_of(*STORAGE_CLASSES, fold=str.upper),
        "STANDARD",
        "storage class; NONE leaves it to the bucket",
    ),
    public("objectacl", one_of(*OBJECT_ACLS), "private", "canned ACL of objects"),
    public("chunksize", _part, 10 * MIB, "bytes of a part; grows past 1,250 parts"),
    public(
        "multipartuploadmaxconcurrency", whole(1, 64), 4, "parts at once in an upload"
    ),
    public("multipartcopychunksize", _part, 32 * MIB, "bytes of a copied part"),
    public("multipartcopymaxconcurrency", whole(1), 100, "parts at once in a copy"),
    public(
        "multipartcopythresholdsize",
        whole(0, COPY_BYTES_MAX),
        32 * MIB,
        "larger objects are copied in parts",
    ),
    public("maxattempts", whole(1, 20), 3, "tries of a request"),
    public(
        "retrymode", one_of("standard", "adaptive", "legacy"), "standard", "of the SDK"
    ),
    public("checksum", one_of("auto", "md5", "supported", "required"), "auto",
            "of uploads: auto is the SDK's CRC on AWS, Content-MD5 elsewhere"),
    public("listorder", one_of("auto", "bytes", "tree"), "auto",
            "order of the server's listings; auto finds out"),
    public("loglevel", _log_level, "off", "anything but off logs each request"),
    *COMMON,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options(Shown):
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
        return self.shown(PUBLIC)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may contain: each secret as it is sent."""
        given = [getattr(self, field.name) for field in fields(self)
                 if field.name not in PUBLIC]  # fmt: skip
        texts = [value for value in given if isinstance(value, str) and value]
        if self.ssecustomerkey:
            digest = hashlib.md5(self.ssecustomerkey, usedforsecurity=False).digest()
            for sent in (self.ssecustomerkey, digest):
                texts.append(base64.b64encode(sent).decode())
        return tuple(texts)

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
