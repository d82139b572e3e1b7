"""broker/greeting.py: who is welcome."""

from __future__ import annotations

import pytest
from scene import hello_of

from storagebus.broker.greeting import Refusal, api_version_fits, welcome_of
from storagebus.broker.messages import Reason
from storagebus.broker.sessions import Door
from storagebus.broker.settings import BrokerSettings

SETTINGS = BrokerSettings(
    (), (), broker_id="b7", brokers=("tcp://other:1",), heartbeat_ms=250, peers_max=3
)


def test_welcome_says_what_the_settings_say() -> None:
    hello = hello_of("c", "client", protocol=(1, 200), features=("unheard-of",))
    welcome = welcome_of(hello, Door.CLIENTS, SETTINGS, 0)
    assert welcome.broker == "b7"
    assert welcome.protocol == 1
    assert welcome.heartbeat_ms == 250
    assert welcome.brokers == ("tcp://other:1",)
    assert welcome.features == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ("1.2", "1.2", True),
        ("1.2", "1.0", True),
        ("1.2", "1.3", False),
        ("1.2", "2.2", False),
        ("1.2", "0.2", False),
        ("1.2", "1.-1", False),
        ("1.2", "1", False),
        ("1.2", "1.2.3", False),
        ("1.2", "", False),
        ("1.2", "a.b", False),
    ],
)
def test_versions_of_the_driver_interface(ours: str, theirs: str, fits: bool) -> None:
    assert api_version_fits(theirs, ours) is fits


def test_room_for_peers() -> None:
    hello = hello_of("c", "client")
    welcome_of(hello, Door.CLIENTS, SETTINGS, 2)
    with pytest.raises(Refusal, match="has 3 peers already") as caught:
        welcome_of(hello, Door.CLIENTS, SETTINGS, 3)
    # Not final: it may come again.
    assert caught.value.reason is Reason.PROTOCOL


@pytest.mark.parametrize("low", [2, 255])
def test_a_newer_protocol_names_both_sides(low: int) -> None:
    hello = hello_of("c", "client", protocol=(low, 255))
    with pytest.raises(Refusal, match=f"protocol {low} to 255, this broker 1 to 1"):
        welcome_of(hello, Door.CLIENTS, SETTINGS, 0)
