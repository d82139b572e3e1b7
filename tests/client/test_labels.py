"""Errors of the asynchronous client name the driver, whichever method raises them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from storagebus.client.labels import labelled
from storagebus.drivers.errors import PathNotFoundError, StorageError


@labelled
class Speaker:
    def _label(self) -> str:
        return "acme"

    def now(self, error: Exception) -> None:
        raise error

    async def later(self, error: Exception) -> None:
        raise error

    async def __anext__(self) -> None:
        raise PathNotFoundError(path="/a")


def raised(work: Coroutine[Any, Any, None]) -> Any:
    with pytest.raises(Exception) as caught:
        asyncio.run(work)
    return caught.value


def test_every_kind_of_method_gets_the_name() -> None:
    with pytest.raises(StorageError) as caught:
        Speaker().now(StorageError("x"))
    assert caught.value.driver == "acme"
    assert raised(Speaker().later(StorageError("x"))).driver == "acme"
    assert "acme" in str(raised(Speaker().__anext__()))


def test_a_name_that_is_there_stays() -> None:
    assert raised(Speaker().later(StorageError("x", driver="s3"))).driver == "s3"


def test_other_exceptions_pass() -> None:
    assert isinstance(raised(Speaker().later(KeyError("x"))), KeyError)
