"""The stock container registry of Debian, with its own storage drivers, and skopeo."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from .install import debian_packages
from .server import Server, answers

COMMAND_S_MAX = 120
NO_BUNDLE = {"AWS_CA_BUNDLE": ""}
"""Debian's AWS SDK for Go cannot load one."""


class Registry(Server):
    """docker-registry 2.8.

    Args:
        storage: the `storage` section of its configuration: a driver and its settings.
    """

    name = "registry"

    def __init__(self, **storage: dict[str, Any]) -> None:
        super().__init__()
        self.config = self.data / "config.yml"
        settings = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {**storage, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "tests"},
        }
        self.config.write_text(json.dumps(settings))

    def install(self) -> None:
        debian_packages("docker-registry", "skopeo")

    def launch(self) -> None:
        self.spawn("docker-registry", "serve", self.config, **NO_BUNDLE)
        self.wait_for(lambda: answers(f"{self.endpoint}/v2/", "{}"), "door")

    def image(self, name: str) -> str:
        """How skopeo calls an image of this registry."""
        return f"docker://127.0.0.1:{self.port}/{name}"

    def collect_garbage(self) -> None:
        """Remove what no manifest refers to; the registry should be stopped."""
        run_tool("docker-registry", "garbage-collect", str(self.config))


def copy_image(source: str, destination: str) -> None:
    """Copy an image, every blob of it as it is."""
    loopback = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    run_tool("skopeo", "--insecure-policy", "copy", *loopback, source, destination)


def delete_image(image: str) -> None:
    """Delete an image's manifest from its registry."""
    run_tool("skopeo", "--insecure-policy", "delete", "--tls-verify=false", image)


def run_tool(*command: str) -> None:
    """Run one of the programs; it has to succeed."""
    done = subprocess.run(
        command,
        env={**os.environ, **NO_BUNDLE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
    )
    assert done.returncode == 0, f"{command}: {(done.stdout + done.stderr)[-2000:]}"
