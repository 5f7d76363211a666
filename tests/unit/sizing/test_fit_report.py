"""One screen: bars that say what their figures say, and lines that say why."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.builders.runs import memory
from tests.fakes.small_boards import small, with_torch
from trainfit.bench.cli.reports.fit import (
    BAR,
    LIMIT_AT,
    MOST_OWNERS,
    MOST_REMEDIES,
    NAMES,
    bar,
    budget_rows,
    budgets_drawn,
    confirmation,
    handful,
    no_remedy,
    owners,
    owners_drawn,
    ram_fact,
    ram_line,
    refutation,
    remedies_drawn,
    remedy_rows,
    unlimited,
)
from trainfit.bench.cli.reports.largest import largest_fact, largest_lines, probe_rows
from trainfit.bench.cli.reports.pasting import pasted
from trainfit.bench.records.schema import Bounds, Workload
from trainfit.bench.sizing.largest import Dimension, Largest, Probe, largest
from trainfit.bench.sizing.measuring import Confirmed
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.sizing.suggestions import Searched, search
from trainfit.bench.verdicts.judge import amounts, judge_all
from trainfit.bench.verdicts.memory import UNITS, Status
from trainfit.bench.verdicts.ram import PlannedRam
from trainfit.hardware_profiles import Budgets, Device, format_bytes, load_device, parse_budgets


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


def exactly(count: float) -> Bounds:
    return Bounds(low=count, high=count)


AMOUNTS = st.floats(min_value=0, max_value=1e12)
LIMITS = st.floats(min_value=1e-6, max_value=1e9)


@given(AMOUNTS, AMOUNTS, LIMITS)
def test_a_bar_has_one_width_and_its_stroke_at_one_place(a: float, b: float, limit: float) -> None:
    low, high = sorted((a, b))

    drawn = bar(Bounds(low=low, high=high), limit, "red").plain

    assert len(drawn) == BAR
    assert drawn.index("│") == LIMIT_AT
    assert drawn.count("│") == 1
    # what is within the limit stays before the stroke, what is beyond it does not
    assert (drawn[LIMIT_AT + 1] == "█") == (low > limit)
    assert (drawn[LIMIT_AT + 1] in "█▒") == (high > limit)
    assert drawn.endswith("▶") == (high / limit * LIMIT_AT > BAR - 1)
    # full blocks, then shaded ones, then nothing
    cells = drawn.replace("│", "").replace("▶", "")
    assert cells == "█" * cells.count("█") + "▒" * cells.count("▒") + " " * cells.count(" ")
    assert (drawn[0] == "█") == (low > 0)


def test_bars() -> None:
    limit = 12.0

    assert bar(exactly(6), limit, "green").plain == "██████      │      "
    assert bar(exactly(12), limit, "yellow").plain == "████████████│      "
    assert bar(exactly(12.01), limit, "red").plain == "████████████│█     "
    assert bar(exactly(18), limit, "red").plain == "████████████│██████"
    assert bar(exactly(19), limit, "red").plain == "████████████│█████▶"
    assert bar(exactly(1e-9), limit, "green").plain == "█           │      "
    assert bar(Bounds(low=3, high=6), limit, "green").plain == "███▒▒▒      │      "
    assert bar(Bounds(low=3, high=14), limit, "magenta").plain == "███▒▒▒▒▒▒▒▒▒│▒▒    "
    assert bar(Bounds(low=14, high=99), limit, "red").plain == "████████████│██▒▒▒▶"


@pytest.mark.parametrize(("need", "limit"), [(None, 1.0), (exactly(1), None), (None, None)])
def test_what_is_not_known_is_no_bar(need: Bounds | None, limit: float | None) -> None:
    assert bar(need, limit, "magenta").plain == "?".ljust(BAR)


def test_ram_is_shown_under_both_allocators_and_the_judged_one_first() -> None:
    form = predicted_workload(workload())
    torch, arena = format_bytes(form.ram_bytes), format_bytes(form.planned.ram_bytes)

    for device, says in (
        (small(10**5), f"{arena} in a planned arena without gaps (judged), {torch} under torch"),
        (
            with_torch(10**5),
            f"{torch} under torch (judged), {arena} in a planned arena without gaps",
        ),
    ):
        needs = form.demand(device)
        assert ram_line(needs, device) == f"RAM: {says}"
        assert ram_fact(needs, device) == {
            "judged_by": str(device.allocator),
            "ram_bytes": form.ram_on(device),
            "torch_ram_bytes": form.ram_bytes,
            "arena_ram_bytes": form.planned.ram_bytes,
            "arena_gap_bytes": 0,
            "no_arena": None,
        }


def test_where_there_is_no_arena_that_is_said_of_boards_that_would_have_one() -> None:
    form = predicted_workload(workload())
    found = Confirmed(form, memory(static=form.plan.static_bytes, peak=form.plan.peak_bytes))
    torch = format_bytes(form.plan.static_bytes + form.plan.peak_bytes)

    lines = [ram_line(found.demand(device), device) for device in (small(10**5), with_torch(10**5))]

    assert lines == [
        f"RAM: {torch} under torch (judged), no arena: the record has none",
        f"RAM: {torch} under torch (judged)",
    ]


def test_how_much_of_an_arena_is_gaps_is_said_as_far_as_it_is_known() -> None:
    needs = predicted_workload(workload()).demand(small(10**5))

    lines = [
        ram_line(replace(needs, plan=lambda gaps=gaps: PlannedRam(1000, 24, gaps)), small(10**5))
        for gaps in (0, 12, None)
    ]

    assert [line.partition(" (judged)")[0] for line in lines] == [
        "RAM: 1.0 KiB in a planned arena without gaps",
        "RAM: 1.0 KiB in a planned arena with gaps of 12 B",
        "RAM: 1.0 KiB in a planned arena",
    ]


def test_a_measurement_that_has_the_predictions_arena_knows_its_gaps() -> None:
    form = predicted_workload(workload())
    same = {"static": form.plan.static_bytes, "peak": form.plan.peak_bytes}
    measured = memory(**same, closed=form.plan.peak_bytes, arena_bytes=form.plan.arena_bytes)

    assert "in a planned arena without gaps (judged)" in ram_line(
        Confirmed(form, measured).demand(small(10**5)), small(10**5)
    )


def rows_of(
    form: PredictedWorkload, device: Device, budgets: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    asked = parse_budgets(budgets or {}, "--budget")
    needs = form.demand(device)
    return budget_rows(judge_all(needs, device, asked), *amounts(needs, device, asked))


ALL_BUDGETS = {
    "step_latency": "50ms",
    "energy_per_step": "2mJ",
    "battery": "1000mWh",
    "training_samples": "60000",
}


@pytest.mark.parametrize("device", [small(10**5, clock=10**8, current=100.0), small(10**5)])
def test_a_row_has_the_unit_of_its_budget_known_or_not(device: Device) -> None:
    rows = rows_of(predicted_workload(workload("tinyfoa")), device, ALL_BUDGETS)

    assert [row["budget"] for row in rows] == list(NAMES)
    assert {row["budget"]: row["unit"] for row in rows} == UNITS
    limits = {row["budget"]: row["limit"] for row in rows}
    assert limits["step_latency"] == 0.05
    assert limits["energy_per_step"] == 0.002
    assert limits["training_energy"] == 3600
    assert limits["ram"] == 10**5
    for row in rows:
        if row["unit"] == "B":
            assert isinstance(row["low"], int)
            assert row["low"] == row["high"]


def shown(*parts: Any, width: int = 100) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, _environ={"COLUMNS": ""})
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_of_budgets_is_one_line_per_budget(width: int) -> None:
    device = small(10**4, clock=10**8, current=100.0)
    rows = rows_of(predicted_workload(workload("tinyfoa")), device, ALL_BUDGETS)

    lines = shown(budgets_drawn(rows), width=width).splitlines()

    assert len(lines) == 1 + len(rows)
    assert len({line.index("│") for line in lines[1:]}) == 1
    assert "…" not in "".join(lines)


def test_a_limit_is_shown_in_its_unit_even_where_the_need_is_unknown() -> None:
    rows = rows_of(predicted_workload(workload()), small(10**5), {"energy_per_step": "2mJ"})

    (line,) = [text for text in shown(budgets_drawn(rows)).splitlines() if "energy" in text]

    assert line.split() == ["energy", "per", "step", "?", "unknown", "unknown", "2", "mJ", "-"]


def test_what_no_budget_limits_is_still_told() -> None:
    model = predicted_workload(workload()).demand(small(10**5, clock=10**8)).modelled

    latency, energy = unlimited(model, {"ram"})

    assert latency.startswith("step latency: ")
    assert latency.endswith("(modelled: cycles); no budget is set")
    assert energy == "energy per step: unknown (current per MHz is unknown: nobody knows);" + (
        " no budget is set"
    )
    assert unlimited(model, {"step_latency", "energy_per_step"}) == []


@pytest.mark.parametrize("algorithm", ["backprop", "tinyfoa", "ff_int8", "sparse_update"])
def test_the_tensors_named_make_up_the_bytes(algorithm: str) -> None:
    form = predicted_workload(workload(algorithm))

    rows = owners(form)

    sums = {kind: sum(r["bytes"] for r in rows if r["kind"] == kind) for kind in KINDS}
    assert sums["dynamic"] == form.plan.peak_bytes
    assert sums["static"] == form.plan.static_bytes
    assert sums["storage"] == form.plan.storage_bytes
    for kind in KINDS:
        counts = [row["bytes"] for row in rows if row["kind"] == kind]
        assert counts == sorted(counts, reverse=True)


KINDS = ("dynamic", "static", "storage")


def test_the_lines_on_the_peak() -> None:
    layered = [str(part) for part in owners_drawn(predicted_workload(workload("tinyfoa")))]
    plain = [str(part) for part in owners_drawn(predicted_workload(workload()))]

    assert layered[0].startswith("The peak is in stage layer1, ")
    assert layered[0].endswith(" in storage")
    assert plain[0].startswith("The peak is in gradient: ")
    for lines in (layered, plain):
        assert [line.partition(":")[0].strip() for line in lines[1:]][:2] == [
            "come and go",
            "stay",
        ]
        assert all(line.count(",") <= MOST_OWNERS for line in lines[1:])


def test_a_remedy_as_a_row() -> None:
    given = workload()
    device = small(predicted_workload(workload(batch_size=5)).planned.ram_bytes)

    rows = remedy_rows(search(given, device).remedies, lambda each: f"ask {each.batch_size}")
    (row,) = [row for row in rows if row["change"] == "--batch-size 5"]

    assert row["batch_size"] == 5
    assert row["ram_bytes"] == device.usable_ram_bytes
    assert (row["status"], row["margin"]) == ("tight", 0)
    assert row["command"] == "ask 5"


def test_a_handful_is_not_all_of_one_algorithm() -> None:
    given = workload(options={"optimizer": "adam"})
    found = search(given, small(predicted_workload(given).planned.ram_bytes * 3 // 4))
    assert sum(not remedy.new_algorithm for remedy in found.remedies) > MOST_REMEDIES

    chosen = handful(found.remedies)

    assert len(chosen) == MOST_REMEDIES
    assert {remedy.new_algorithm for remedy in chosen} == {False, True}
    assert chosen[0] == found.remedies[0]
    assert any(remedy.new_batch and not remedy.new_algorithm for remedy in chosen)
    assert chosen == sorted(chosen, key=lambda remedy: remedy.distance)


def test_remedies_say_how_far_was_looked_and_end_with_commands() -> None:
    given = workload()
    found = search(given, small(predicted_workload(given).planned.ram_bytes - 1))

    lines = remedies_drawn(found, lambda each: f"ask {each.algorithm} {each.options}")

    assert lines[0].startswith("What would make it fit, by prediction (accuracy and time")
    shown = [line.startswith("    ask ") for line in lines[1:-1]]
    assert shown == [False, True] * MOST_REMEDIES
    more = len(found.remedies) - MOST_REMEDIES
    assert lines[-1] == (
        f"and {more} more (--json or --csv lists all); searched {found.combinations:,} combinations"
        f" of {found.algorithms} algorithms, {found.batch_sizes} batch sizes"
    )


def test_long_commands_leave_room_for_fewer_remedies() -> None:
    given = workload()
    found = search(given, small(predicted_workload(given).planned.ram_bytes - 1))

    for words, count in ((10, MOST_REMEDIES), (40, 2), (400, 1)):
        text = " ".join(["word"] * words)
        lines = remedies_drawn(found, lambda _, text=text: text, width=80, columns=80)  # type: ignore[misc]
        assert sum(line.split()[0] != "word" for line in lines) - 2 == count


@pytest.mark.parametrize("columns", [None, 20, 40, 80, 1_000])
def test_a_command_is_pasted_whole(columns: int | None) -> None:
    command = shlex.join(["trainfit", "fit", "--device", "my boards/it's.toml", "-o", "slices=8"])

    lines = pasted(command, columns)

    text = " ".join(line.removesuffix("\\") for line in lines)
    assert shlex.split(text) == shlex.split(command)
    assert all(line.endswith(" \\") for line in lines[:-1])
    if columns in (None, 1_000):
        assert len(lines) == 1
    else:
        most = 4 + len("  --device 'my boards/it'\"'\"'s.toml' \\")  # an option and its value
        assert all(len(line) <= max(columns, most) for line in lines)


def test_where_there_is_no_remedy_the_reader_is_sent_on() -> None:
    exceeds = judge_all(predicted_workload(workload()).demand(small(50)), small(50))
    device = small(10**6)
    asked = parse_budgets({"energy_per_step": "1J"}, "")
    blind = judge_all(predicted_workload(workload()).demand(device), device, asked)

    nothing = Searched(remedies=(), combinations=412, algorithms=14, batch_sizes=1)

    assert "--max width" in no_remedy(exceeds, nothing)[0]
    assert "since energy per step cannot be judged" in no_remedy(blind, nothing)[0]
    for verdicts in (exceeds, blind):
        says = no_remedy(verdicts, nothing)[0]
        assert "searched 412 combinations of 14 algorithms, 1 batch" in says


@pytest.mark.parametrize(
    ("extra", "ending"),
    [
        (0, "; equal to the prediction"),
        (7, "; +7 B from the prediction"),
        (-1_500, "; -1,500 B from the prediction"),
    ],
)
def test_what_the_measurement_says(extra: int, ending: str) -> None:
    form = predicted_workload(workload())
    static = form.plan.static_bytes

    says = confirmation(form, memory(static=static, peak=form.plan.peak_bytes + extra))

    assert says.startswith(
        f"measured: {form.ram_bytes + extra:,} B of RAM under torch, peak in gradient"
    )
    assert says.endswith(ending)


def test_a_refutation_names_both_figures_and_what_is_wrong() -> None:
    form = predicted_workload(workload())
    measured = memory(static=form.plan.static_bytes, peak=form.plan.peak_bytes + 7)

    says = refutation(Confirmed(form, measured), small(50_000))[0]

    assert f"says {form.ram_bytes:,} B of RAM, the measurement {form.ram_bytes + 7:,} B (+7 B)" in (
        says
    )
    assert "small has 50,000 B. The verdict is the measurement's." in says


def test_an_arena_that_a_measurement_refutes_is_named() -> None:
    form = predicted_workload(workload())
    static, peak = form.plan.static_bytes, form.plan.peak_bytes
    measured = memory(static=static, peak=peak + 7, closed=peak, arena_bytes=1)

    board, computer = (
        refutation(Confirmed(form, measured), device)
        for device in (small(50_000), with_torch(50_000))
    )

    assert board[1] == (
        f"Both are under torch: {form.planned.ram_bytes:,} B in a planned arena are not"
        " to be trusted (measured +7 B beside the trace)."
    )
    assert len(computer) == 1


@pytest.mark.parametrize(
    ("algorithm", "options", "note"),
    [
        ("tinyfoa", {}, "no step writes it: a slice is written back after its turn"),
        ("sparse_update", {"frozen": "flash"}, "nothing writes them"),
    ],
)
def test_what_is_in_storage_is_named_with_who_writes_it(
    algorithm: str, options: dict[str, Any], note: str
) -> None:
    form = predicted_workload(workload(algorithm, options=options))

    line = str(owners_drawn(form)[-1])

    assert line.startswith("  in storage (judged against flash): ")
    assert max(form.plan.storage, key=lambda block: block.size).label in line
    assert note in line


@pytest.mark.parametrize("status", Status)
def test_a_verdict_is_one_word(status: Status) -> None:
    row = dict.fromkeys(("low", "high", "limit", "evidence")) | {"budget": "ram", "unit": "B"}

    assert f" {status} " in shown(budgets_drawn([{**row, "status": str(status)}]))


# The inverse question.


def answer(**changes: Any) -> Largest:
    device = small(predicted_workload(workload(batch_size=40)).planned.ram_bytes)
    found = largest(workload(), device, Dimension.BATCH)
    return Largest(**vars(found) | changes)


def test_the_largest_size_and_the_next_one() -> None:
    found = answer()

    lines = largest_lines(found, small(1000))

    assert lines[0] == "largest batch that fits small: 40 (mlp-64-32x2-10, batch 40)"
    left = format_bytes(found.probe.verdict.margin)
    assert lines[1] == (
        f"  batch 40: needs {found.probe.ram_bytes:,} B of RAM, tight (RAM: {left} left)"
    )
    assert lines[2].startswith("  batch 41: needs ")
    assert " B of RAM, exceeds (RAM: " in lines[2]
    assert lines[2].endswith(" too much)")
    assert lines[3] == (
        "  RAM in a planned arena; under torch, batch 40 would need"
        f" {predicted_workload(workload(batch_size=40)).ram_bytes:,} B"
    )
    assert lines[4] == f"  {len(found.probes)} sizes probed: more batch never needed less"
    assert len(lines) == 5


def test_a_board_that_runs_torch_is_said_to_be_judged_with_it() -> None:
    device = with_torch(predicted_workload(workload(batch_size=40)).ram_bytes)

    lines = largest_lines(largest(workload(), device, Dimension.BATCH), device)

    assert lines[0].startswith("largest batch that fits small: 40 ")
    assert lines[3] == "  RAM under torch"


def test_sizes_that_cannot_be_trained_are_said_to_be_none() -> None:
    given = workload("tinyfoa")
    device = small(predicted_workload(given).planned.ram_bytes)
    found = largest(given, device, Dimension.WIDTH)

    assert "  width 33 cannot be trained by this rule" in largest_lines(found, device)


def test_what_was_not_looked_at_is_said() -> None:
    lines = largest_lines(answer(next_probe=None), small(1000))

    assert "  the search ended there; batch beyond 40 was not looked at" in lines


def test_exceptions_are_named() -> None:
    found = answer(monotone=False, exceptions=(3, 5, 7, 9, 11, 13, 15))

    lines = largest_lines(found, small(1000))

    assert lines[-2].endswith(
        "more batch does not always need more here, so that one beyond those may fit, too"
    )
    assert lines[-1] == ("  although 40 fits, these smaller ones do not: 3, 5, 7, 9, 11 and 2 more")


def test_where_nothing_fits() -> None:
    device = small(50)
    found = largest(workload(), device, Dimension.DEPTH)

    lines = largest_lines(found, device)

    assert lines[0] == "no depth fits small"
    assert lines[1].startswith("  depth 1: needs ")
    assert " exceeds (RAM: " in lines[1]


def test_where_a_budget_lies_inside_the_interval_nothing_is_sure_to_fit() -> None:
    device = small(10**6, clock=10**7)
    form = predicted_workload(workload(batch_size=1))
    step = form.demand(device).modelled.latency.step
    assert step is not None
    asked = Budgets(step_latency=f"{step.high * 9e5:.1f} us")  # type: ignore[call-arg]

    lines = largest_lines(largest(workload(), device, Dimension.BATCH, asked), device)

    assert lines[0] == "no batch is sure to fit small"
    assert "the budget lies inside the interval" in lines[1]


def test_machines_get_every_size_that_was_looked_at() -> None:
    found = answer()

    rows = probe_rows(found)
    fact = largest_fact(found)

    assert [row["size"] for row in rows] == [probe.size for probe in found.probes]
    assert {row["status"] for row in rows} <= set(Status)
    assert fact["size"] == 40
    assert fact["next"]["size"] == 41
    assert fact["probes"] == len(rows)
    assert fact["workload"]["batch_size"] == 40
    assert largest_fact(answer(next_probe=None))["next"] is None
    assert isinstance(found.probe, Probe)


def test_an_unknown_budget_of_time_is_no_number_of_bytes() -> None:
    device = load_device("rp2040")
    asked = parse_budgets({"energy_per_step": "1uJ"}, "")
    given = workload()
    verdict = judge_all(predicted_workload(given).demand(device), device, asked)[-1]
    probe = Probe(1, 10, 11, verdict)

    assert probe_rows(answer(probes=(probe,)))[0]["unit"] == "J"
