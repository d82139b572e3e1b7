"""Short texts in a tree, each in a symbolic link that points to no file.

A link is made with its whole text by one system call and read by another, so nobody
ever sees half of one, and it needs no block on the disk.
"""

from __future__ import annotations

import os
import secrets

from .paths import join, parent
from .refusals import PRUNE_RACES_MAX, pruned
from .tree import ABSENT, Tree


def add_link(tree: Tree, path: str, text: str) -> bool:
    """Store a text at a tree path; False when there is one already.

    Raises:
        UnavailableError: others pruned the directory again and again.
    """
    for _ in range(PRUNE_RACES_MAX):
        try:
            directory = tree.make_directory(parent(path), durable=False)
        except FileNotFoundError:
            continue
        try:
            os.symlink(text, path.rpartition("/")[2], dir_fd=directory)
            return True
        except FileExistsError:
            return False
        except FileNotFoundError:
            continue
        finally:
            os.close(directory)
    raise pruned(None)


def set_link(tree: Tree, path: str, text: str) -> None:
    """Store a text at a tree path, atomically in place of one that is there."""
    if add_link(tree, path, text):
        return
    temporary = _temporary(path)
    add_link(tree, temporary, text)
    directory = tree.directory(parent(path))
    try:
        tree.rename(temporary, directory, path.rpartition("/")[2])
    finally:
        os.close(directory)


def take_link(tree: Tree, path: str) -> str | None:
    """Remove a text and return it; of several who try at once, one gets it."""
    temporary = _temporary(path)
    try:
        directory = tree.directory(parent(path))
        try:
            tree.rename(path, directory, temporary.rpartition("/")[2])
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    text = read_link(tree, temporary)
    tree.unlink(temporary)
    return text


def read_link(tree: Tree, path: str) -> str | None:
    """The text at a tree path; None without one."""
    try:
        directory = tree.directory(parent(path))
        try:
            return os.readlink(path.rpartition("/")[2], dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def _temporary(path: str) -> str:
    return join(parent(path), f"~{secrets.token_hex(16)}.tmp")
