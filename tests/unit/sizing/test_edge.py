"""Guesses of where the last size lies: found in few steps, whatever the line looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing import largest as module
from trainfit.bench.sizing.edge import halfway, last_fitting
from trainfit.bench.verdicts.memory import Budget, Status, Verdict

LAST = 10**6


def verdict(left: float | None, budget: Budget = "ram") -> Verdict:
    fits = left is not None and left >= 0
    status = Status.FITS if fits else Status.EXCEEDS
    return Verdict(device="small", budget=budget, status=status, margin=left, reason="")


def test_the_edge_of_a_line_is_hit() -> None:
    assert last_fitting((1, verdict(97)), (2, verdict(94))) == 33
    assert last_fitting((1, verdict(97)), (50, verdict(-50))) == 33
    assert last_fitting((33, verdict(1)), (34, verdict(-2))) == 34  # never what is known already


def test_there_is_no_guess_from_what_cannot_be_compared() -> None:
    assert last_fitting((1, verdict(97)), (2, verdict(-5, "flash"))) is None
    assert last_fitting((1, verdict(97)), (2, verdict(None))) is None
    assert last_fitting((1, verdict(97)), (2, verdict(97))) is None
    assert last_fitting((1, verdict(97)), (2, verdict(99))) is None


def test_the_middle_of_sizes_far_apart_is_that_of_their_ratio() -> None:
    assert halfway(10, 20) == 15
    assert halfway(10, 12) == 11
    assert halfway(1, 10_000) == 100


LEFT: dict[str, tuple[Callable[[int], int], int]] = {
    "line": (lambda n: 100_000 - 3 * n, 6),
    "steep line": (lambda n: 2_684_300_000 - 51_144 * n, 6),
    "square": (lambda n: 10**8 - 5 * n * n - 7 * n, 16),
    "cube": (lambda n: 10**9 - n**3, 16),
    "root": (lambda n: 1000 - int(10 * n**0.5), 22),
    "steps": (lambda n: 100_000 - 3 * (n // 64 * 64) - n % 64 // 7 * 2, 20),
    "cliff": (lambda n: 10 if n < 777 else -5, 26),
    "flat": (lambda n: 5, 22),
}
"""What is left at a size, and how many sizes may be looked at."""


@pytest.mark.parametrize("first", [(1,), (1, 32), (1, 900_000)])
@pytest.mark.parametrize("name", LEFT)
def test_it_is_found_in_few_steps(
    name: str, first: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, most = LEFT[name]

    def probe(size: int) -> module.Probe:
        return seen.setdefault(size, module.Probe(size, 0, 0, verdict(left(size))))

    search = module._Search(None, lambda size: workload, None)  # type: ignore[arg-type]
    workload, seen = Workload(algorithm="", model="", dataset="", batch_size=1), search.seen
    monkeypatch.setattr(search, "probe", probe)
    start = max(size for size in first if probe(size).fits)

    found = module._climb(search, start, LAST)

    assert left(found) >= 0
    assert found == LAST or left(found + 1) < 0
    assert len(seen) <= most
