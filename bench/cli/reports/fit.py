"""One screen: how a workload stands against the budgets of a device, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trainfit._text import counted
from trainfit.bench.cli.output import WIDTH, unseen
from trainfit.bench.cli.reports.pasting import pasted
from trainfit.bench.cli.reports.run import CELLS
from trainfit.bench.costs.intervals import DeviceModel, Modelled
from trainfit.bench.records.schema import Bounds, Evidence, Memory, Workload
from trainfit.bench.sizing.measuring import Confirmed
from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.sizing.suggestions import Remedy, Searched
from trainfit.bench.verdicts.intervals import format_quantity, spread
from trainfit.bench.verdicts.judge import ResourceDemand
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.bench.verdicts.ram import IN_WORDS, PlannedRam
from trainfit.hardware_profiles import Allocator, Device, format_bytes

COLOURS = {status: colour for status, (_, _, colour) in CELLS.items()}
"""Of a verdict, which is always written as its own word here."""

BAR = 19
"""Columns of a bar, the stroke of the limit among them."""

LIMIT_AT = 12
"""The column of that stroke, from 0: two thirds of the way, so that there is room beyond."""

NAMES = {
    "ram": "RAM",
    "flash": "flash",
    "step_latency": "step latency",
    "energy_per_step": "energy per step",
    "training_energy": "training energy",
}
"""How people call a budget."""

MOST_OWNERS = 5
"""Tensors at the peak that are named; the rest is summed."""

MOST_REMEDIES = 4

BUDGET_COLUMNS = unseen("budget status low high limit margin unit evidence judged_by reason")
REMEDY_COLUMNS = unseen(
    "change what ram_bytes torch_ram_bytes status margin unit algorithm options model batch_size",
    "command",
)
OWNER_COLUMNS = unseen("name category kind bytes")


def budget_rows(
    verdicts: Sequence[Verdict], needs: dict[str, Bounds | None], limits: dict[str, float | None]
) -> list[dict[str, Any]]:
    """One row per budget that was judged."""
    rows = []
    for verdict in verdicts:
        need, unit = needs.get(verdict.budget), verdict.unit
        rows.append(
            {
                **verdict.model_dump(mode="json"),
                "low": _whole(need.low, unit) if need else None,
                "high": _whole(need.high, unit) if need else None,
                "limit": limits.get(verdict.budget),
            }
        )
    return rows


def ram_fact(needs: ResourceDemand, device: Device) -> dict[str, Any]:
    """RAM under both allocators, and by which of them it is judged, for machines."""
    judged, planned = needs.ram(device.allocator), needs.planned
    return {
        "judged_by": str(judged.allocator),
        "ram_bytes": judged.ram_bytes,
        "torch_ram_bytes": needs.ram(Allocator.TORCH).ram_bytes,
        "arena_ram_bytes": planned.ram_bytes if isinstance(planned, PlannedRam) else None,
        "arena_gap_bytes": planned.gap_bytes if isinstance(planned, PlannedRam) else None,
        "no_arena": planned if isinstance(planned, str) else None,
    }


def ram_line(needs: ResourceDemand, device: Device) -> str:
    """The same for people: the one that is judged first."""
    fact = ram_fact(needs, device)
    order = sorted(Allocator, key=lambda each: each != fact["judged_by"])
    parts = []
    for allocator in order:
        count = fact[f"{allocator}_ram_bytes"]
        how = " (judged)" if allocator == fact["judged_by"] else ""
        if count is not None:
            gaps = _gaps(fact["arena_gap_bytes"]) if allocator is Allocator.ARENA else ""
            parts.append(f"{format_bytes(count)} {IN_WORDS[allocator]}{gaps}{how}")
        elif allocator is device.allocator:
            parts.append(f"no arena: {fact['no_arena']}")
    return f"RAM: {', '.join(parts)}"


def _gaps(count: int | None) -> str:
    """How much of an arena is fragmentation, as far as that is known."""
    if count is None:
        return ""
    return f" with gaps of {format_bytes(count)}" if count else " without gaps"


def _whole(value: float, unit: str) -> float | int:
    return int(value) if unit == "B" else value


def budgets_drawn(rows: Iterable[dict[str, Any]]) -> Table:
    """Every budget as a bar: what is needed, the limit as a stroke, an interval in two shades."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for title in ("budget", "", "verdict", "needs", "limit", "evidence"):
        table.add_column(title, no_wrap=title != "needs")
    for row in rows:
        colour = COLOURS[Status(row["status"])]
        need = Bounds(low=row["low"], high=row["high"]) if row["high"] is not None else None
        table.add_row(
            NAMES[row["budget"]],
            bar(need, row["limit"], colour),
            Text(row["status"], style=colour),
            _amount(need, row["unit"]),
            "unknown" if row["limit"] is None else _figure(row["limit"], row["unit"]),
            "-" if row["evidence"] == Evidence.UNAVAILABLE else row["evidence"],
        )
    return table


def bar(need: Bounds | None, limit: float | None, colour: str) -> Text:
    """Full blocks up to what is needed for certain, shaded ones up to what may be.

    The stroke is the limit. What is within it never crosses it, what is beyond always does, and an
    arrow at the end says that it goes on.
    """
    if need is None or limit is None:
        return Text("?".ljust(BAR), style="magenta")
    certain, possible = _cells(need.low, limit), _cells(need.high, limit)
    drawn = ("█" * certain + "▒" * (possible - certain)).ljust(BAR - 1)
    if need.high / limit * LIMIT_AT > BAR - 1:
        drawn = drawn[:-1] + "▶"
    text = Text(drawn[:LIMIT_AT], style=colour)
    text.append("│", style="bold")
    return text.append(drawn[LIMIT_AT:], style=colour)


def _cells(amount: float, limit: float) -> int:
    """How many columns an amount takes, the stroke not counted."""
    cells = round(min(amount / limit, BAR) * LIMIT_AT)
    if amount > limit:
        return min(max(cells, LIMIT_AT + 1), BAR - 1)
    return min(max(cells, 1), LIMIT_AT) if amount > 0 else 0


def _amount(need: Bounds | None, unit: str) -> str:
    if need is None:
        return "unknown"
    return format_bytes(int(need.high)) if unit == "B" else spread(need, unit)


def _figure(value: float, unit: str) -> str:
    return format_bytes(int(value)) if unit == "B" else format_quantity(value, unit)


def unlimited(model: DeviceModel, judged: Iterable[str]) -> list[str]:
    """Time and energy that no budget limits, as far as they can be modelled."""
    lines = []
    for budget, figure, unit in (
        ("step_latency", model.latency, "s"),
        ("energy_per_step", model.energy, "J"),
    ):
        if budget not in judged:
            lines.append(f"{NAMES[budget]}: {_modelled(figure, unit)}; no budget is set")
    return lines


def _modelled(figure: Modelled, unit: str) -> str:
    if figure.step is None:
        return f"unknown ({figure.reason})"
    return f"{spread(figure.step, unit)} (modelled: {figure.model})"


def owners(form: PredictedWorkload) -> list[dict[str, Any]]:
    """Every tensor alive at the peak and every static one, largest first within its kind."""
    plan = form.plan
    kinds = (("dynamic", plan.live_at_peak), ("static", plan.static), ("storage", plan.storage))
    return [
        {
            "name": item.label,
            "category": item.category,
            "kind": kind,
            "bytes": item.size,
        }
        for kind, items in kinds
        for item in sorted(items, key=lambda item: -item.size)
    ]


def owners_drawn(form: PredictedWorkload) -> list[RenderableType]:
    """Which tensors make the peak, in some lines."""
    plan = form.plan
    at = f"stage {form.stages[form.worst]}, " if len(form.stages) > 1 else ""
    head = (
        f"The peak is in {at}{plan.peak_phase}: {format_bytes(plan.peak_bytes)} come and go"
        f" beside {format_bytes(plan.static_bytes)} that stay"
    )
    if form.storage_bytes:
        head += f", {format_bytes(form.storage_bytes)} in storage"
    elif form.storage_bytes is None:
        head += ", and what is in storage grows with the training set"
    lines: list[RenderableType] = [Text(head)]
    for kind, title in (("dynamic", "come and go"), ("static", "stay")):
        items = [row for row in owners(form) if row["kind"] == kind and row["bytes"]]
        parts = [f"{row['name']} {format_bytes(row['bytes'])}" for row in items[:MOST_OWNERS]]
        rest = sum(row["bytes"] for row in items[MOST_OWNERS:])
        if rest:
            parts.append(f"others {format_bytes(rest)}")
        lines.append(Text(f"  {title}: {', '.join(parts) or 'nothing'}"))
    if plan.storage:
        lines.append(Text(_stored(form)))
    return lines


def _stored(form: PredictedWorkload) -> str:
    """What is in storage, and when it is read and written."""
    items = sorted(form.plan.storage, key=lambda item: -item.size)
    names = ", ".join(item.label for item in items[:MOST_OWNERS])
    more = f" and {len(items) - MOST_OWNERS} more" if len(items) > MOST_OWNERS else ""
    return f"  in storage (judged against flash): {names}{more}; {form.storage_note}"


def remedy_rows(
    found: Sequence[Remedy], command: Callable[[Workload], str]
) -> list[dict[str, Any]]:
    """One row per remedy, with the command that asks about it."""
    return [
        {
            "change": remedy.change,
            "what": remedy.what,
            "ram_bytes": remedy.ram_bytes,
            "torch_ram_bytes": remedy.torch_ram_bytes,
            "status": str(remedy.verdict.status),
            "margin": remedy.verdict.margin,
            "unit": remedy.verdict.unit,
            "algorithm": remedy.workload.algorithm,
            "options": remedy.workload.options,
            "model": remedy.workload.model,
            "batch_size": remedy.workload.batch_size,
            "command": command(remedy.workload),
        }
        for remedy in found
    ]


def remedy_rows_left(verdicts: int) -> int:
    """Rows of a screen of 80 x 30 that are left for remedies below so many verdicts."""
    return 11 - 2 * verdicts


def remedies_drawn(
    searched: Searched,
    command: Callable[[Workload], str],
    *,
    width: int = WIDTH,
    columns: int | None = None,
    room: int = 10,
) -> list[str]:
    """A handful of remedies, each with its command on a line of its own that can be pasted.

    Args:
        searched: At least one remedy.
        command: Makes the command of a workload.
        width: Of the screen, on which a long line takes several rows.
        columns: As :func:`~trainfit.bench.cli.reports.pasting.pasted` takes it.
        room: Rows that there are for remedies; one is shown in any case.
    """
    chosen = handful(searched.remedies)
    commands = [pasted(command(remedy.workload), columns) for remedy in chosen]
    rows = [1 + sum(-(-len(line) // width) for line in each) for each in commands]
    shown = max(1, sum(total <= room for total in accumulate(rows)))
    chosen, commands = chosen[:shown], commands[:shown]
    column = max(len(remedy.change) for remedy in chosen)
    lines = ["What would make it fit, by prediction (accuracy and time change, too):"]
    for remedy, text in zip(chosen, commands, strict=True):
        needs = f"{format_bytes(remedy.ram_bytes)} of RAM"
        lines.append(f"  {remedy.change:<{column}}  {needs}, {remedy.verdict.status}")
        lines += text
    more = len(searched.remedies) - len(chosen)
    listed = f"and {more} more (--json or --csv lists all); " if more else ""
    lines.append(f"{listed}{_how_far(searched)}")
    return lines


def handful(found: Sequence[Remedy]) -> list[Remedy]:
    """Some of many: the closest, but not all of one algorithm where others would fit, too."""
    own = [remedy for remedy in found if not remedy.new_algorithm]
    kept = [remedy for remedy in own if not remedy.new_batch]
    half = MOST_REMEDIES // 2
    smaller = [remedy for remedy in own if remedy.new_batch]
    first = _different([*kept[:1], *smaller])[:half]
    others = [remedy for remedy in found if remedy.new_algorithm][: MOST_REMEDIES - len(first)]
    rest = [remedy for remedy in _different(found) if remedy not in [*first, *others]]
    filled = [*first, *others, *rest][:MOST_REMEDIES]
    return sorted(filled, key=lambda remedy: remedy.distance)


def _different(found: Iterable[Remedy]) -> list[Remedy]:
    """Of those that change the same options to other values, with the same batch, the first."""
    first: dict[tuple[str, int, tuple[str, ...]], Remedy] = {}
    for each in found:
        key = (each.workload.algorithm, each.workload.batch_size, tuple(each.options))
        first.setdefault(key, each)
    return list(first.values())


def _how_far(searched: Searched) -> str:
    counts = (
        f"{counted(searched.combinations, 'combination')} of",
        f"{counted(searched.algorithms, 'algorithm')},",
        counted(searched.batch_sizes, "batch size"),
    )
    return f"searched {' '.join(counts)}"


def no_remedy(verdicts: Iterable[Verdict], searched: Searched) -> list[str]:
    """Why nothing is offered, how far was looked, and where to look on."""
    tried = f"Nothing that was tried is sure to fit ({_how_far(searched)})"
    blind = [NAMES[each.budget] for each in verdicts if each.margin is None]
    if blind:
        return [f"{tried}, since {' and '.join(blind)} cannot be judged (see above)."]
    return [f"{tried}. A smaller net may (--max width, --max depth)."]


def refutation(found: Confirmed, device: Device) -> list[str]:
    """That a measurement says what the prediction does not: both figures, loudly."""
    memory, form = found.memory, found.form
    assert memory is not None
    usable = device.usable_ram_bytes
    has = "" if usable is None else f"; {device.name} has {usable:,} B"
    lines = [
        f"MEASURED OTHERWISE: the prediction of {form.workload.algorithm} says"
        f" {form.ram_bytes:,} B of RAM, the measurement {found.ram_bytes:,} B"
        f" ({found.difference:+,} B){has}. The verdict is the measurement's."
    ]
    judged = found.ram_on(device)
    if judged.allocator is not device.allocator:
        lines.append(
            f"Both are {IN_WORDS[Allocator.TORCH]}: {form.ram_on(device):,} B in a planned arena"
            f" are not to be trusted ({judged.no_arena})."
        )
    if found.left_bytes:
        lines.append(f"Every step leaves {found.left_bytes:,} B behind.")
    items = sorted(memory.worst.residual.items, key=lambda item: -abs(item.bytes))
    if items:
        named = ", ".join(f"{item.name} {item.bytes:+,} B" for item in items[:MOST_OWNERS])
        lines.append(f"What the prediction is wrong about: {named}")
    return lines


def confirmation(form: PredictedWorkload, memory: Memory) -> str:
    """What the measurement says about the prediction."""
    measured = memory.static_bytes + memory.peak_dynamic_bytes
    where = IN_WORDS[Allocator.TORCH]
    says = f"measured: {measured:,} B of RAM {where}, peak in {memory.peak_phase}"
    if measured == form.ram_bytes:
        return f"{says}; equal to the prediction"
    return f"{says}; {measured - form.ram_bytes:+,} B from the prediction"
