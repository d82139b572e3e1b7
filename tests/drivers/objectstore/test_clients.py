"""One set of clients and threads a process."""

from __future__ import annotations

import os
import threading

from storagebus.drivers.objectstore.clients import Clients


class Client:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_one_of_a_kind_whoever_asks_first() -> None:
    clients = Clients(2, "test")
    found: list[Client] = []
    go = threading.Barrier(8)

    def ask() -> None:
        go.wait()
        found.append(clients.one("a", Client))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1
    other = clients.one("b", Client)
    assert other is not found[0]
    clients.close()
    clients.close()
    assert (found[0].closed, other.closed) == (1, 1)
    # A driver that is used after its close gets new ones.
    assert clients.one("a", Client) is not found[0]
    clients.close()


def test_a_forked_child_makes_its_own_though_a_lock_was_held() -> None:
    clients = Clients(2, "test")
    mine = clients.one("a", Client)
    assert clients.submit(os.getpid).result(10) == os.getpid()
    with clients._lock:
        child = os.fork()
        if child == 0:
            try:
                theirs = clients.one("a", Client)
                ran = clients.submit(os.getpid).result(10)
                fine = theirs is not mine and theirs.pid == ran == os.getpid()
                clients.close()
                os._exit(0 if fine and theirs.closed and not mine.closed else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert clients.one("a", Client) is mine
    clients.close()
