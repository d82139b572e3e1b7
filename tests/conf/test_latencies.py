import random

import pytest

from storagebus.conf.latencies import LEAST_S, Latencies


def recorded(*seconds: float) -> Latencies:
    made = Latencies()
    for value in seconds:
        made.add(value)
    return made


def test_percentiles_are_near_those_of_the_samples() -> None:
    chance = random.Random(5)
    samples = sorted(chance.lognormvariate(-6, 1.5) for _ in range(20_000))
    found = recorded(*samples)
    for part in (0.01, 0.5, 0.9, 0.99, 0.999):
        exact = samples[int(part * len(samples)) - 1]
        assert found.percentile(part) == pytest.approx(exact, rel=0.025)
    assert found.percentile(1) == found.longest == samples[-1]
    assert found.count == 20_000


def test_what_threads_recorded_becomes_one() -> None:
    chance = random.Random(6)
    samples = [chance.random() for _ in range(999)]
    one, first, second = recorded(*samples), recorded(*samples[:400]), Latencies()
    for value in samples[400:]:
        second.add(value)
    first.merge(second)
    assert first.count == one.count
    assert first.longest == one.longest
    for part in (0.1, 0.5, 0.99):
        assert first.percentile(part) == one.percentile(part)


def test_none() -> None:
    assert recorded().percentile(0.5) == 0
    assert recorded().longest == 0


@pytest.mark.parametrize("seconds", [0.0, LEAST_S / 9, LEAST_S, 1e9])
def test_beyond_the_steps(seconds: float) -> None:
    assert recorded(seconds).percentile(0.5) <= seconds
