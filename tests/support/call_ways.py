"""Which way a client's calls go: by a call lane, or by the bus."""

from __future__ import annotations

from typing import Any

import pytest

from storagebus.client.operations import Operations


class Ways:
    """Counts what went which way in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.direct = self.by_bus = 0
        plain = Operations.by_lane

        async def by_lane(own: Operations, *asked: Any, **more: Any) -> object:
            done = await plain(own, *asked, **more)
            self.direct += done is not None
            self.by_bus += done is None
            return done

        monkeypatch.setattr(Operations, "by_lane", by_lane)

    def reset(self) -> None:
        self.direct = self.by_bus = 0
