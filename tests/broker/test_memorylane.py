"""A memory lane: both of its parts are let go together."""

from loose_lane import Lane

from storagebus.broker.memorylane import MemoryLane


def test_closing_lets_go_of_both() -> None:
    lane = Lane(4096)
    lane.segment.view[:3] = b"abc"
    MemoryLane.close(lane)
    MemoryLane.close(lane)
    assert lane.segment.memory.closed
    assert lane.bell.fileno() == -1
    assert lane.client.wait(10)
    lane.client.heard()
    assert lane.client.is_cut
    lane.client.close()


def test_a_part_that_is_held_keeps_the_memory() -> None:
    lane = Lane(4096)
    part = lane.segment.part(10, 5)
    MemoryLane.close(lane)
    assert bytes(part) == bytes(5)
    lane.client.close()
