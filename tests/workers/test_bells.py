"""The bells of lanes that no job looks after."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any, cast

import pytest
from loose_lane import Lane

from storagebus.workers.actions import Listen
from storagebus.workers.bells import Bells
from storagebus.workers.streams import Stream


class Scene:
    def __init__(self) -> None:
        self.bells = Bells()
        self.lanes: dict[Any, Lane] = {}

    def listen(self, stream: str) -> Lane:
        lane = self.lanes.setdefault(stream, Lane(4096))
        self.bells.listen(Listen(cast(Stream, stream), lane))
        return lane

    def heard(self) -> list[Any]:
        return list(self.bells.heard())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.bells.close()
    made.bells.close()
    for lane in made.lanes.values():
        lane.bell.close()
        lane.client.close()


def test_a_bell_is_told_once_for_each_time_that_is_asked(scene: Scene) -> None:
    lane = scene.listen("a")
    scene.listen("b")
    assert scene.heard() == []
    lane.client.ring(1)
    assert select.select([scene.bells], [], [], 1.0)[0]
    assert scene.heard() == ["a"]
    lane.client.ring(2)
    assert scene.heard() == [], "a job looks after it"
    scene.listen("a")
    assert scene.heard() == ["a"], "what came meanwhile counts"


def test_one_that_is_cut_is_told(scene: Scene) -> None:
    scene.listen("a").client.close()
    assert scene.heard() == ["a"]


def test_what_is_let_go_is_closed_and_not_told(scene: Scene) -> None:
    lane = scene.listen("a")
    lane.client.ring(1)
    scene.bells.let_go(lane)
    scene.bells.let_go(None)
    assert scene.heard() == []
    assert lane.closed and lane.bell.fileno() == -1
    scene.lanes.clear()
    again = scene.listen("a")  # may have the same number
    again.client.ring(1)
    assert scene.heard() == ["a"]
    lane.client.close()


def test_one_that_was_never_listened_to_is_let_go_too(scene: Scene) -> None:
    lane = Lane(4096)
    scene.bells.let_go(lane)
    assert lane.closed
    lane.client.close()
