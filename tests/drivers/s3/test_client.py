"""Clients: made when needed, by each process for itself, and configured."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from telltale import Reply, Telltale

from storagebus.drivers.errors import AccessDeniedError
from storagebus.drivers.s3.client import CALLERS_CONNECTIONS, S3Clients, make_client
from storagebus.drivers.s3.credentials import Role, session_of
from storagebus.drivers.s3.parameters import Options, parse_options

LEAST = {"region": "eu-central-1", "bucket": "tests"}


def options(**given: Any) -> Options:
    return parse_options("s3", LEAST | {"accesskey": "A", "secretkey": "S"} | given)


@pytest.mark.parametrize("code", [
    "import storagebus.drivers",
    "from storagebus.drivers import create; create('inmemory')",
    "from storagebus.drivers.s3 import S3Driver",
    "from storagebus.drivers import create; create('s3', dict(region='r', bucket='b',"
    "regionendpoint='http://127.0.0.1:1'))",
])  # fmt: skip
def test_no_sdk_before_the_first_call(code: str) -> None:
    check = "import sys; assert 'boto3' not in sys.modules, 'boto3 is loaded'"
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True, timeout=60)


@pytest.mark.parametrize(("given", "copies"), [(5, 120), (600, 600)])
def test_a_copy_is_waited_for_longer(given: int, copies: int) -> None:
    with closing(S3Clients(options(readtimeout=given))) as clients:
        assert clients.client().meta.config.read_timeout == given
        assert clients.copier().meta.config.read_timeout == copies
        assert clients.copier() is clients.copier()


def test_a_child_process_makes_its_own() -> None:
    clients = S3Clients(options())
    mine = clients.client()
    assert clients.client() is mine
    assert clients.submit(os.getpid).result(10) == os.getpid()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        other = clients.client() is not mine
        worked = clients.submit(os.getpid).result(10) == os.getpid()
        os.write(send, b"1" if other and worked else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(receive, 1) == b"1"
    os.close(receive)
    os.close(send)
    assert clients.client() is mine
    clients.close()
    clients.close()


def test_timeouts_retries_and_connections() -> None:
    client = make_client(options(connecttimeout=2, readtimeout=7, maxattempts=5,
                                 maxthreads=9, useragent="me/1"))  # fmt: skip
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 7)
    assert config.retries["total_max_attempts"] == 5
    assert config.max_pool_connections == 9 + CALLERS_CONNECTIONS
    assert config.user_agent.endswith("me/1")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://tests.s3.eu-central-1.amazonaws.com/k"),
        ({"forcepathstyle": True}, "https://s3.eu-central-1.amazonaws.com/tests/k"),
        ({"usedualstack": True}, "https://tests.s3.dualstack.eu-central-1.amazonaws.com/k"),
        ({"accelerate": True}, "https://tests.s3-accelerate.amazonaws.com/k"),
        ({"usefipsendpoint": True, "region": "us-east-1"},
         "https://tests.s3-fips.us-east-1.amazonaws.com/k"),
        ({"secure": False}, "http://tests.s3.eu-central-1.amazonaws.com/k"),
        ({"regionendpoint": "h:1", "secure": False, "forcepathstyle": True},
         "http://h:1/tests/k"),
    ],
)  # fmt: skip
def test_endpoints(given: dict[str, Any], url: str) -> None:
    client = make_client(options(**given))
    signed = client.generate_presigned_url(
        "get_object", {"Bucket": "tests", "Key": "k"}
    )
    assert signed.partition("?")[0] == url


@pytest.mark.parametrize(
    ("v4", "sign"), [(True, "X-Amz-Signature"), (False, "AWSAccess")]
)
def test_signature_version(v4: bool, sign: str) -> None:
    client = make_client(options(v4auth=v4, regionendpoint="https://h"))
    url = client.generate_presigned_url("get_object", {"Bucket": "tests", "Key": "k"})
    assert sign in url


def test_a_session_token_is_sent() -> None:
    client = make_client(options(sessiontoken="TOKEN"))
    url = client.generate_presigned_url("get_object", {"Bucket": "tests", "Key": "k"})
    assert "X-Amz-Security-Token=TOKEN" in url


class StsSession:
    """A session whose client for STS answers what the test expects of it."""

    def __init__(self, operation: str, expected: dict[str, Any]) -> None:
        self._sts = session_of(options()).client("sts", region_name="us-east-1")
        self._stub = Stubber(self._sts)
        expiry = datetime.now(UTC) + timedelta(hours=1)
        credentials = {"AccessKeyId": "A" * 16, "SecretAccessKey": "RS",
                       "SessionToken": "RT", "Expiration": expiry}  # fmt: skip
        self._stub.add_response(operation, {"Credentials": credentials}, expected)
        self._stub.activate()

    def client(self, *_: Any, **__: Any) -> Any:
        return self._sts


ROLE = "arn:aws:iam::123456789012:role/registry"
ASKED = {"RoleArn": ROLE, "RoleSessionName": "storagebus", "DurationSeconds": 3600}


@pytest.mark.parametrize("body", [b"x" * 100, bytearray(b"x" * 100)])
@pytest.mark.parametrize("checksum", ["md5", "supported", "required"])
def test_a_body_in_memory_goes_with_its_request(
    body: bytes | bytearray, checksum: str
) -> None:
    """Without asking first, which would be one more way there and back."""
    with Telltale(Reply(400, "Refused")) as server:
        given = options(
            regionendpoint=server.url, forcepathstyle=True, checksum=checksum
        )
        with closing(make_client(given)) as client, pytest.raises(ClientError):
            client.put_object(Bucket="tests", Key="k", Body=body)
        assert "PUT" in server.heard[0] and "100-continue" not in server.heard[0]


def test_a_role_is_assumed() -> None:
    session = StsSession("assume_role", ASKED | {"ExternalId": "X1"})
    found = Role(session, options(rolearn=ROLE, externalid="X1")).credentials()
    assert (found["access_key"], found["secret_key"]) == ("A" * 16, "RS")
    assert found["token"] == "RT" and found["expiry_time"]


def test_a_role_is_assumed_by_a_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("JWT1\n")
    session = StsSession(
        "assume_role_with_web_identity", ASKED | {"WebIdentityToken": "JWT1"}
    )
    given = options(rolearn=ROLE, webidentitytokenfile=str(token))
    assert Role(session, given).credentials()["token"] == "RT"


def test_a_role_signs_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StsSession("assume_role", ASKED)
    monkeypatch.setattr(
        Role, "_assume", lambda _: session.client().assume_role(**ASKED)
    )
    client = make_client(options(rolearn=ROLE))
    url = client.generate_presigned_url("get_object", {"Bucket": "tests", "Key": "k"})
    assert "X-Amz-Security-Token=RT" in url and "A" * 16 in url


def test_a_token_that_cannot_be_read_is_no_lost_connection(tmp_path: Path) -> None:
    given = options(rolearn=ROLE, webidentitytokenfile=str(tmp_path / "missing"))
    with pytest.raises(AccessDeniedError, match="webidentitytokenfile"):
        Role(session_of(options()), given).credentials()


def test_the_token_service_is_asked_with_the_stores_patience() -> None:
    given = options(rolearn=ROLE, connecttimeout=2, readtimeout=7, maxattempts=4)
    config = Role(session_of(given), given)._client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 7)
    assert config.retries["total_max_attempts"] == 4
