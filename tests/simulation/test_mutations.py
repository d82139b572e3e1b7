"""The simulation notices when a rule is broken: it is no test that cannot fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulation.mutations import HARSH, MUTATIONS, SPECIAL
from simulation.options import Options
from simulation.trial import run

SEEDS_MAX = 1_000
TRIED_FIRST = {
    "a_peer_keeps_its_session_when_the_broker_has_another": 969,
    "who_goes_on_takes_an_upload_back": 803,
}
"""Where rare ones were noticed last. When the product has changed, it may be elsewhere;
then all seeds are gone through, in two minutes."""


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_it_is_noticed(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    first = TRIED_FIRST.get(mutate.__name__, 0)
    options = SPECIAL.get(mutate.__name__, HARSH)
    for seed in (first, *range(SEEDS_MAX)):
        failure = run(Options.drawn(seed, **options)).failure
        if failure:
            assert failure.startswith("Violation"), failure
            return
    pytest.fail(f"not noticed in {SEEDS_MAX} seeds")
