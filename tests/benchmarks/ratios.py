"""Ratios of times within one process: works in turns, by CPU time and by the clock, as a table.

Every round gives each work a turn, in an order that turns round from round to round; a turn is a
call that is not timed and then a block of calls. Blocks of all works are equally long in CPU time
(by the clock where there are several threads).
What becomes of a ratio on a busy machine is said in
:mod:`trainfit.bench.latency_comparison.waiting`: with one thread the ratio of CPU time is the one
to read; that by the clock is left out where the two contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from tests.benchmarks import threads
from trainfit.bench.environment import describe_environment
from trainfit.bench.latency_comparison.blocks import Block, Counters
from trainfit.bench.latency_comparison.turns import BLOCK_SECONDS, steps_per_block
from trainfit.bench.latency_comparison.waiting import Judgement, judge

CONFIDENCE, WIDTH = 0.95, 0.02
ROUNDS = 30

_CAPABILITIES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")
"""What decides over the speed of integer products; the names of ``/proc/cpuinfo``."""


@dataclass(frozen=True)
class Work:
    """Something whose time is compared.

    Attributes:
        run: Does it once.
        around: Makes what it runs in, such as a number of threads; entered before its turn.
        operations: Of one run, for Gop/s in the table; 0 gives none.
    """

    run: Callable[[], object]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    operations: int = 0


@dataclass(frozen=True)
class Row:
    """One line of the table: a work, and its time over that of the first one.

    Attributes:
        name: Of the work.
        found: The ratios of CPU time and by the clock.
        asked: What the ratio should be, in words, or empty.
        milliseconds: Of one run, the median: CPU time, or with several threads time by the clock;
            None where the latter is in doubt.
        operations: Of one run.
        is_base: It is the one that all are compared with.
    """

    name: str
    found: Judgement
    asked: str
    milliseconds: float | None
    operations: int
    is_base: bool

    @property
    def cells(self) -> list[str]:
        """As text."""
        time, speed = "unknown", ""
        if self.milliseconds is not None:
            time = f"{self.milliseconds:.3f} ms"
            speed = f"{self.operations / self.milliseconds / 1e6:.1f} Gop/s"
        cpu, wall = self.found.cpu, self.found.wall
        return [
            self.name,
            time,
            speed if self.operations else "",
            "1" if self.is_base else "unknown" if cpu is None else str(cpu),
            "1" if self.is_base else "unknown (busy)" if self.found.doubt else str(wall),
            self.asked,
        ]


def compare(
    benchmark: Any,
    request: pytest.FixtureRequest,
    works: Mapping[str, Work],
    *,
    asked: Mapping[str, str] | None = None,
    count: int = 1,
    rounds: int = ROUNDS,
) -> list[Row]:
    """Compare works with the first of them; prints a table and fills ``extra_info``.

    Args:
        benchmark: pytest-benchmark's fixture; its own columns show whole rounds.
        request: Of the test.
        works: At least two, by name.
        asked: By name, what a work's time over that of the first should be, in words.
        count: The most threads that operators have in any of them.
        rounds: How many turns each gets, an even number.
    """
    names = list(works)
    steps = _calibrated(works, count)
    taken: dict[str, list[Block]] = {name: [] for name in names}
    turned = False

    def one_round() -> None:
        nonlocal turned
        for name in reversed(names) if turned else names:
            with works[name].around():
                works[name].run()
                taken[name].append(Block.of(works[name].run, steps[name], Counters()))
        turned = not turned

    with threads(1):
        benchmark.pedantic(one_round, rounds=rounds)
    base = names[0]
    rows: list[Row] = []
    for name in names:
        found = judge(taken[base], taken[name], threads=count, width=WIDTH, confidence=CONFIDENCE)
        milliseconds = 1e3 * median(block.cost(count) for block in taken[name])
        words = (asked or {}).get(name, "")
        work = works[name]
        rows.append(Row(name, found, words, milliseconds, work.operations, name == base))
    if count > 1 and any(row.found.doubt for row in rows):
        rows = [replace(row, milliseconds=None) for row in rows]
    for row in rows:
        benchmark.extra_info[f"{row.name}_milliseconds"] = row.milliseconds
    for row in rows[1:]:
        _note(benchmark, f"{row.name}_over_{base}", row)
    processor = _processor()
    benchmark.extra_info |= {"processor": processor, "rounds": rounds}
    _tables(request).add(f"{request.node.name}: over {base}, {rounds} rounds", rows, processor)
    return rows[1:]


def _calibrated(works: Mapping[str, Work], count: int) -> dict[str, int]:
    """Warm all works up; how many calls make a block of each."""
    costs = []
    for work in works.values():
        with threads(1), work.around():
            for _ in range(3):
                cost = Block.of(work.run, 1, Counters()).cost(count)
            calls = max(1, round(BLOCK_SECONDS / cost))
            costs.append(Block.of(work.run, calls, Counters()).cost(count))
    return dict(zip(works, steps_per_block(*costs), strict=True))


def _note(benchmark: Any, key: str, row: Row) -> None:
    """Into ``extra_info``; a ratio in doubt is None, with the reason."""
    wall = None if row.found.doubt else row.found.wall
    for kind, estimate in (("cpu", row.found.cpu), ("time", wall)):
        benchmark.extra_info |= {
            f"{key}_{kind}": estimate and estimate.ratio,
            f"{key}_{kind}_interval": estimate and list(estimate.interval),
        }
    if row.found.doubt:
        benchmark.extra_info[f"{key}_no_time_because"] = row.found.doubt
    if row.asked:
        benchmark.extra_info[f"{key}_asked"] = row.asked


def _processor() -> str:
    """Its name and what of its instructions matters here."""
    machine = describe_environment()["machine"]
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        text = ""
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    flags = next(lines, "").partition(":")[2].split()
    known = [name for name in _CAPABILITIES if name in flags] or [str(machine["cpu_capability"])]
    return f"{machine['cpu']} ({', '.join(known)}), {machine['usable_cores']} usable cores"


class _Tables:
    """Prints the tables at the end of the session."""

    def __init__(self) -> None:
        self._tables: list[tuple[str, list[Row]]] = []
        self._processor = ""

    def add(self, title: str, rows: list[Row], processor: str) -> None:
        """Remember one table."""
        self._tables.append((title, rows))
        self._processor = processor

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Called by pytest."""
        terminalreporter.section("ratios of times")
        terminalreporter.write_line(self._processor)
        head = ["", "median", "", "ratio of CPU time", "by the clock", "asked"]
        for title, rows in self._tables:
            cells = [head, *(row.cells for row in rows)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            terminalreporter.write_line("")
            terminalreporter.write_line(title)
            for line in cells:
                padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                terminalreporter.write_line("  " + "  ".join(padded).rstrip())


def _tables(request: pytest.FixtureRequest) -> _Tables:
    plugins = request.config.pluginmanager
    found = plugins.get_plugin("trainfit_ratios")
    if found is None:
        found = _Tables()
        plugins.register(found, "trainfit_ratios")
    assert isinstance(found, _Tables)
    return found


@contextmanager
def onednn() -> Iterator[None]:
    """OneDNN switched on, wherever it was."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(True)  # the public switch also sets TF32, and warns about it
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)
