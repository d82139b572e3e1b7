"""Azurite: the emulator of Azure's own makers, from npm. It knows no pending copies."""

from __future__ import annotations

import shutil
import subprocess

from .install import FOLDER, CannotInstall, alone, run
from .server import Server, answers

VERSION = "3.37.0"
ACCOUNT = "storagebus"
KEY = "c3RvcmFnZWJ1cyB0ZXN0cyB1c2UgdGhpcyBrZXkgb2YgYW4gYWNjb3VudCBvbiBsb29wYmFjaw=="


class Azurite(Server):
    """The blob service alone.

    Args:
        any_version: whether it takes requests of versions that it does not know.
        tokens: whether it takes tokens, over TLS with a certificate of its own.
    """

    name = "azurite"
    access_key = ACCOUNT
    secret_key = KEY

    def __init__(self, *, any_version: bool = False, tokens: bool = False) -> None:
        super().__init__()
        self._any_version = any_version
        self._tokens = tokens
        self.certificate = str(self.data / "certificate.pem") if tokens else ""

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tokens else 'http'}://127.0.0.1:{self.port}"

    @property
    def service_url(self) -> str:
        return f"{self.endpoint}/{ACCOUNT}"

    def install(self) -> None:
        home = FOLDER / f"azurite-{VERSION}"
        self.program = home / "node_modules/azurite/dist/src/blob/main.js"
        if shutil.which("npm") is None:
            raise CannotInstall("npm is missing: apt-get install npm, or Node.js")
        with alone():
            if not self.program.exists():
                run("npm", "install", "--no-audit", "--no-fund", "--silent",
                    "--prefix", home, f"azurite@{VERSION}")  # fmt: skip
        if not self.program.exists():
            raise CannotInstall(f"azurite@{VERSION} brings no blob service")

    def launch(self) -> None:
        options = ["--skipApiVersionCheck"] if self._any_version else []
        if self._tokens:
            options += ["--oauth", "basic", *self._certificate()]
        self.spawn(
            "node",
            self.program,
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self.port),
            "--location",
            str(self.data),
            "--silent",
            "--disableTelemetry",
            *options,
            AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}",
        )
        log = self.data / "node-0.log"
        self.wait_for(lambda: "successfully listens" in log.read_text(), "door")
        if not self._tokens:
            self.wait_for(lambda: answers(self.endpoint, "<"), "answer")

    def _certificate(self) -> list[str]:
        key, certificate = str(self.data / "key.pem"), self.certificate
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
            timeout=60,
        )  # fmt: skip
        return ["--cert", certificate, "--key", key]
