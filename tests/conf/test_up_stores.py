"""`storagebus up` over a store that cannot be used yet: not ready, and it says why."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any

import azure_container
import pytest
import s3_bucket
from servers.azurite import Azurite
from servers.server import Server

WAIT_S = 60.0
UP = [sys.executable, "-m", "storagebus.conf", "up"]


class Up:
    """The command, with what it says on both outputs as it comes."""

    def __init__(self, driver: str, parameters: dict[str, Any]) -> None:
        given = ["--driver", driver, "--parameters", json.dumps(parameters)]
        self.process = subprocess.Popen(
            [*UP, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out = self._lines(self.process.stdout)
        self.err = self._lines(self.process.stderr)

    @staticmethod
    def _lines(stream: Any) -> Queue[str]:
        lines: Queue[str] = Queue()

        def read() -> None:
            with stream:
                for line in stream:
                    lines.put(line.rstrip("\n"))

        threading.Thread(target=read, daemon=True).start()
        return lines


@contextmanager
def running(driver: str, parameters: dict[str, Any]) -> Iterator[Up]:
    up = Up(driver, parameters)
    try:
        yield up
        up.process.terminate()
        assert up.process.wait(WAIT_S) == 0
    finally:
        up.process.kill()
        up.process.wait()


def check(up: Up, word: str, mend: Callable[[], object]) -> None:
    """It says that the store cannot be used, is ready once that is mended."""
    said = up.err.get(timeout=WAIT_S)
    assert "worker default: the store cannot be used: " in said
    assert word in said
    assert said.endswith("; it is tried again")
    with pytest.raises(Empty):
        up.out.get(timeout=3.0)
    assert up.err.empty()  # told once
    mend()
    assert up.out.get(timeout=WAIT_S).startswith("storagebus: ready at ")


def test_a_bucket_that_is_made_later(radosgw: Server) -> None:
    given = s3_bucket.parameters_of(radosgw, bucket="later")
    client = s3_bucket.plain_client(radosgw)
    with running("s3", given) as up:
        check(
            up,
            "the bucket does not exist",
            lambda: client.create_bucket(Bucket="later"),
        )


def test_a_container_that_is_made_later(azurite: Azurite) -> None:
    given = azure_container.parameters_of(azurite.service_url, container="later")
    with running("azure", given) as up:
        check(
            up,
            "the container does not exist",
            lambda: azure_container.make_container(azurite, "later"),
        )


def test_keys_that_are_wrong(seaweedfs: Server) -> None:
    given = s3_bucket.parameters_of(seaweedfs, secretkey="wrong")
    with running("s3", given) as up:
        said = up.err.get(timeout=WAIT_S)
        assert "the store cannot be used: " in said and "access denied" in said
