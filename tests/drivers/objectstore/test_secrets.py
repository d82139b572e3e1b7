"""No secret in any error or log line, whatever a server says and to which call."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from telltale import Reply, Telltale

from storagebus.drivers import StorageDriver, create
from storagebus.drivers.errors import StorageError
from storagebus.drivers.s3 import ranges

SESSION = "SENTINEL-session/token+"
SECRET = "SENTINEL-secret/key+"
KMS = "SENTINEL-kms"
CUSTOMER_KEY = base64.b64encode(b"SENTINEL" * 4).decode()
ACCOUNT_KEY = base64.b64encode(b"SENTINEL-account").decode()
SIGNATURE = "SENTINEL/sig+natu="
SECRETS = (SESSION, SECRET, KMS, CUSTOMER_KEY, ACCOUNT_KEY, SIGNATURE)

S3 = {
    "region": "us-east-1",
    "bucket": "tests",
    "forcepathstyle": True,
    "accesskey": "SENTINEL-access",
    "secretkey": SECRET,
    "sessiontoken": SESSION,
    "loglevel": "debugwithhttpbody",
    "maxattempts": 1,
}
AZURE = {"accountname": "account", "container": "tests", "max_retries": -1}
SETUPS: dict[str, tuple[str, dict[str, Any], str]] = {
    "s3": ("s3", S3, SESSION),
    "s3, customer's key": ("s3", S3 | {"ssecustomerkey": CUSTOMER_KEY}, CUSTOMER_KEY),
    "s3, KMS": ("s3", S3 | {"encrypt": True, "keyid": KMS}, KMS),
    "azure, key": ("azure", AZURE | {"accountkey": ACCOUNT_KEY}, ""),
    "azure, signature": (
        "azure",
        AZURE | {"sastoken": f"sv=2022&sig={quote(SIGNATURE, safe='')}"},
        quote(SIGNATURE, safe=""),
    ),
}
"""Driver, parameters, and a secret that the server must have heard."""

REPLIES = [
    Reply(400, "SomethingNew"),
    Reply(400, "ExpiredToken"),
    Reply(401, "InvalidAuthenticationInfo"),
    Reply(403, "SignatureDoesNotMatch"),
    Reply(403, "AuthenticationFailed"),
    Reply(404, "NoSuchBucket"),
    Reply(409, "Strange"),
    Reply(500, "InternalError"),
    Reply(503, "SlowDown"),
    Reply(400, "SomethingNew", "text"),
    Reply(502, "", "text"),
    Reply(200, "", "text"),
    Reply(200, "", "cut"),
    Reply(0),
]


def commit(driver: StorageDriver) -> None:
    with driver.writer("/a") as upload:
        upload.write(b"x" * 100)
        upload.commit()


CALLS: list[Callable[[StorageDriver], object]] = [
    lambda driver: driver.get_content("/a"),
    lambda driver: driver.put_content("/a", b"x"),
    lambda driver: driver.stat("/a"),
    lambda driver: driver.list("/a"),
    lambda driver: list(driver.walk("/a")),
    lambda driver: driver.move("/a", "/b"),
    lambda driver: driver.delete("/a"),
    lambda driver: driver.upload_status("/a", "0" * 32),
    lambda driver: driver.writer("/a", append=True),
    commit,
]


@pytest.fixture(params=SETUPS)
def scene(request: Any) -> Iterator[tuple[StorageDriver, Telltale, str]]:
    name, given, sent = SETUPS[request.param]
    server = Telltale(Reply(500))
    where = "regionendpoint" if name == "s3" else "serviceurl"
    with create(name, given | {where: server.url}) as driver:
        yield driver, server, sent
    server.close()


def told(error: BaseException) -> str:
    """All that anybody who is handed an error could print of it."""
    text = "".join(traceback.format_exception(error)) + repr(error)
    return text + (str(error.to_fields()) if isinstance(error, StorageError) else "")


def test_what_a_server_quotes_is_not_passed_on(
    scene: tuple[StorageDriver, Telltale, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, server, sent = scene
    monkeypatch.setattr(ranges, "PAUSE_SECONDS", 0.0)
    caplog.set_level(logging.DEBUG)
    failures = 0
    for reply in REPLIES:
        server.reply = reply
        for call in CALLS:
            try:
                call(driver)
            except StorageError as error:
                failures += 1
                assert "SENTINEL" not in told(error), reply
                for secret in SECRETS:
                    assert secret not in told(error), reply
    assert failures > len(REPLIES) * len(CALLS) // 2
    if sent:
        assert any(sent in heard for heard in server.heard), "it was never at risk"
    lines = "\n".join(caplog.messages)
    assert "SENTINEL" not in lines
    for secret in SECRETS:
        assert secret not in lines and quote(secret, safe="") not in lines


def test_the_driver_itself_shows_none(
    scene: tuple[StorageDriver, Telltale, str],
) -> None:
    driver = scene[0]
    inner = driver._driver  # type: ignore[attr-defined]
    shown = f"{driver!r} {inner!r} {inner._options!r}"
    assert "SENTINEL" not in shown
