"""Ending processes with everything that they have started.

A child has a process group of its own, which is killed as a whole. What has left the group, for a
session of its own, becomes a child of the fork server when its parent is gone
(:mod:`trainfit.bench.processes.adopting`), and is found there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Container, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

_ROUNDS = 100
"""What forks while it is killed is looked for again, so often at most."""


def end_group(pid: int | None) -> None:
    """Kill a child and whatever it has started; nothing where there is none, or no more."""
    if pid is None:
        return
    for kill in (os.killpg, os.kill):  # early in its life a child is in its parent's group
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def end_orphans(known: Container[int]) -> None:
    """Kill what children of the fork server have left to it, and what that has started.

    What the server has started itself is not touched: it is in ``known``, it is another child of
    this program, or it is still in the server's group.

    Args:
        known: Process numbers of children that are still wanted.
    """
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if server is None:
        return
    wanted = {child.pid for child in multiprocessing.active_children()}
    for _ in range(_ROUNDS):
        found = list(_processes())
        group = next((group for pid, _, group in found if pid == server), None)
        lost = {
            pid
            for pid, parent, own in found
            if parent == server and own != group and pid not in known and pid not in wanted
        }
        while more := {pid for pid, parent, _ in found if parent in lost} - lost:
            lost |= more
        if group is None or not lost:
            return
        for pid in lost:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[tuple[int, int, int]]:
    """Number, parent and group of every process that is no zombie; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = (
                entry.read_text("utf-8", "replace").rpartition(")")[2].split()[:3]
            )
        except (OSError, ValueError):
            continue  # it is gone by now
        if state not in ("Z", "X"):
            yield int(entry.parent.name), int(parent), int(group)
