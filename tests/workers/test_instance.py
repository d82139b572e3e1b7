"""Which store a worker serves, in a word."""

from pathlib import Path

from storagebus.workers.instance import instance_of


def test_equal_exactly_for_equal_driver_and_parameters():
    one = instance_of("s3", {"bucket": "b", "region": "r", "n": {"x": 1, "y": [2]}})
    assert one == instance_of(
        "s3", {"n": {"y": [2], "x": 1}, "region": "r", "bucket": "b"}
    )
    others = {
        instance_of("s4", {"bucket": "b", "region": "r"}),
        instance_of("s3", {"bucket": "b", "region": "r"}),
        instance_of("s3", {"bucket": "c", "region": "r"}),
        instance_of("s3", {}),
    }
    assert len(others | {one}) == 5


def test_it_does_not_show_the_parameters_and_takes_any():
    word = instance_of("s3", {"secretkey": "sesame", "path": Path("/x")})
    assert "sesame" not in word
    assert len(word) == 32
