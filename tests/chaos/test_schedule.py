"""Strikes: what a seed decides."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

from .schedule import CALM, STRIKES, Strike, strikes


def until(seconds: float, seed: int, every_s: dict[str, float]) -> list[Strike]:
    return list(takewhile(lambda s: s.at < seconds, strikes(seed, every_s)))


def test_a_seed_is_a_run() -> None:
    assert until(60, 1, dict(CALM)) == until(60, 1, dict(CALM))
    assert until(60, 1, dict(CALM)) != until(60, 2, dict(CALM))


def test_a_process_is_killed_every_300_ms() -> None:
    kinds = Counter(strike.kind for strike in until(300, 1, dict(CALM)))
    kills = kinds["kill-worker"] + kinds["kill-broker"]
    assert 980 < kills < 1_020
    assert set(kinds) == set(STRIKES)


def test_time_only_goes_on_and_what_is_left_out_does_not_happen() -> None:
    found = until(100, 5, {"cut": 3.0, "stop-worker": 2.0})
    times = [strike.at for strike in found]
    assert times == sorted(times)
    assert {strike.kind for strike in found} == {"cut", "stop-worker"}
    assert list(strikes(1, {})) == []
