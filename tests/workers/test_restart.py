"""The restart policy: waits, jitter, forgetting, giving up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.workers.restart import (
    JITTER_SHARE,
    Death,
    GiveUp,
    History,
    RestartAfter,
    RestartPolicy,
)

POLICY = RestartPolicy(
    delay_first_s=1.0,
    delay_max_s=20.0,
    delay_after_signal_max_s=3.0,
    delay_for_store_max_s=5.0,
    stable_s=10.0,
    early_deaths_max=3,
    deaths_max=8,
)
CRASH = Death(ready_for_s=0.5)
EARLY = Death(ready_for_s=None)
KILLED = Death(ready_for_s=0.5, by_signal=True)
STORELESS = Death(ready_for_s=None, for_store=True)


def run(*deaths: Death, jitter: float = 0.0) -> list[float | str]:
    """The delays, or the reason to give up, after each death in a row."""
    history, told = History(), list[float | str]()
    for death in deaths:
        history, decision = POLICY.after(history, death, jitter)
        if isinstance(decision, RestartAfter):
            told.append(decision.delay_s)
        else:
            told.append(decision.reason)
    return told


def test_the_first_crash_costs_no_wait_and_the_next_ones_double() -> None:
    assert run(*[CRASH] * 7) == [0.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_crashes_in_a_row_are_given_up() -> None:
    assert run(*[CRASH] * 8)[-1] == "8 times in a row, never ready for 10 s"


def test_deaths_before_readiness_wait_from_the_first_and_are_given_up_sooner() -> None:
    assert run(EARLY, EARLY, EARLY) == [
        1.0,
        2.0,
        "3 times in a row before it was ready",
    ]


def test_a_store_that_cannot_be_used_is_waited_for_without_end() -> None:
    told = run(*[STORELESS] * 50)
    assert told[:5] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert set(told[5:]) == {5.0}
    # Nor does it add to what the program is to blame for.
    assert run(EARLY, STORELESS, EARLY, STORELESS, EARLY)[-1] != 0.0
    assert all(isinstance(one, float) for one in run(*[EARLY, EARLY, STORELESS] * 2))


def test_readiness_clears_the_count_of_early_deaths_but_not_of_deaths() -> None:
    told = run(*[EARLY, EARLY, CRASH] * 3)
    assert told[-2] == "8 times in a row, never ready for 10 s"
    assert all(isinstance(one, float) for one in told[:7])


def test_a_long_life_clears_everything() -> None:
    assert run(EARLY, EARLY, Death(ready_for_s=10.0), EARLY) == [1.0, 2.0, 0.0, 2.0]
    assert run(*[Death(ready_for_s=10.0)] * 100) == [0.0] * 100


def test_signals_from_outside_wait_a_little_and_are_never_the_reason() -> None:
    told = run(*[KILLED] * 50)
    assert told[:4] == [0.0, 2.0, 3.0, 3.0]
    assert set(told[3:]) == {3.0}


def test_a_hopeless_end_is_given_up_at_once() -> None:
    (reason,) = run(Death(ready_for_s=None, hopeless=True))
    assert isinstance(reason, str)
    assert "no use" in reason


@given(
    st.lists(
        st.builds(
            Death, ready_for_s=st.none() | st.floats(0, 100), by_signal=st.booleans()
        ),
        max_size=200,
    ),
    st.floats(0, 1),
)
def test_every_wait_is_bounded_and_jitter_only_shortens(
    deaths: list[Death], jitter: float
) -> None:
    history = History()
    for death in deaths:
        _, plain = POLICY.after(history, death, 0.0)
        history, decision = POLICY.after(history, death, jitter)
        if isinstance(decision, GiveUp):
            assert plain == decision
            return
        assert isinstance(plain, RestartAfter)
        assert decision.delay_s == pytest.approx(
            plain.delay_s * (1 - JITTER_SHARE * jitter)
        )
        assert 0 <= decision.delay_s <= POLICY.delay_max_s
        assert history.deaths < POLICY.deaths_max
        assert history.early < POLICY.early_deaths_max
