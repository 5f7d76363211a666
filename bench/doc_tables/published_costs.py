"""Modelled time and energy beside what was published.

``python -m trainfit.bench.doc_tables.published_costs docs`` writes it.

Three tables, written between two marks in ``docs/modelled.md``: cycles on microcontrollers against
Pau & Aymone (COINS 2023), the roofline and the energy per operation against Table V of FF-INT8 (Ma
et al., DAC 2025). Nothing is fitted; ``--check`` says whether the tables are what the models say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from trainfit.bench.costs import cycles as cost_cycles
from trainfit.bench.costs import horowitz as cost_horowitz
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import Interval, scaled, summed
from trainfit.bench.doc_tables.marked_page import parse, rewrite
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.closed_form import ClosedForm, closed_form
from trainfit.bench.verdicts.intervals import format_quantity
from trainfit.hardware_profiles import load_core, load_device

BEGIN, END = "<!-- modelled -->", "<!-- end of modelled -->"

AUTOENCODER = "mlp-640-128x4-8-128x4-640"
"""The fully connected autoencoder of MLPerf Tiny's anomaly detection."""

BOARDS = (("STM32H735G", "cortex-m7", 550e6), ("STM32G474RE", "cortex-m4f", 170e6))
"""Board, cycle table and clock."""

PAU_AYMONE = (
    ("BP", "backprop_int8", (3.9, 18.8)),
    ("FF", "ff_int8", (5.8, 28.2)),
    ("PEPITA", "pepita", (6.6, 31.8)),
    ("MEMPEPITA", "mem_pepita", (8.0, 38.8)),
)
"""Their name, our algorithm, their milliseconds per sample on both boards."""

FF_INT8_MODEL = "mlp-784-1000-1000-10"
FF_INT8_BATCH = 32
FF_INT8_BOARD = "jetson-orin-nano-4gb"

TABLE_V: tuple[tuple[str, str, dict[str, str], float, float], ...] = (
    ("BP-FP32", "backprop", {}, 482.3, 2315.0),
    ("BP-INT8", "backprop_int8", {}, 326.1, 1206.6),
    ("BP-UI8", "backprop_ui8", {}, 335.2, 1277.1),
    ("BP-GDAI8", "backprop_dai8", {}, 344.9, 1345.4),
    ("FF-INT8", "ff_int8", {}, 312.7, 1097.0),
    ("FF-INT8, look-ahead", "ff_int8", {"lookahead": "true"}, 312.7, 1097.0),
)
"""Their name, our algorithm and options, seconds and joules for the MLP of a whole training."""


def document() -> str:
    """All tables as Markdown."""
    return "\n\n".join(
        [
            "### Cycles: Pau & Aymone's autoencoder",
            _table(
                (
                    "rule",
                    "board",
                    "published ms",
                    "products alone, ms",
                    "published inside",
                    "whole step, ms",
                    "published inside",
                    "published / low",
                    "published / high",
                ),
                _cycle_rows(),
            ),
            "### Roofline: FF-INT8's Table V, one step of the MLP",
            _table(
                (
                    "rule",
                    "arithmetic",
                    "traffic",
                    "launches",
                    "step",
                    "energy",
                    "low / FP32's",
                    "high / FP32's",
                    "published time / FP32's",
                    "published energy / FP32's",
                ),
                _roofline_rows(),
            ),
            "### Energy per operation, as ratios",
            _table(
                (
                    "rule",
                    "million MACs",
                    "arithmetic / FP32's",
                    "traffic / FP32's",
                    "published energy / FP32's",
                ),
                _ratio_rows(),
            ),
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _form(
    algorithm: str, model: str, batch: int, options: dict[str, str] | None = None
) -> ClosedForm:
    return closed_form(
        Workload(
            algorithm=algorithm,
            options=dict(options or {}),
            model=model,
            dataset="none",
            batch_size=batch,
        )
    )


def cycle_bounds() -> Iterable[tuple[str, str, float, Interval, Interval]]:
    """Rule, board, published ms, ms of the products as INT8, ms of the whole step as it is here."""
    for rule, algorithm, published in PAU_AYMONE:
        form = _form(algorithm, AUTOENCODER, 1)
        macs = sum(sum(stage.macs.values()) for stage in form.operations)
        for (board, name, clock), milliseconds in zip(BOARDS, published, strict=True):
            core = load_core(name)
            whole = summed(
                interval
                for stage in form.operations
                for phase, tally in stage.phases.items()
                if "." not in phase
                for interval in cost_cycles.cycles(tally, core).values()
            )
            products = scaled(core.mac_cycles("int8"), macs * 1e3 / clock)
            yield rule, board, milliseconds, products, scaled(whole, 1e3 / clock)


def _cycle_rows() -> Iterable[Sequence[str]]:
    for rule, board, published, products, whole in cycle_bounds():
        yield (
            rule,
            board,
            f"{published:g}",
            _span(products),
            _inside(published, products),
            _span(whole),
            _inside(published, whole),
            f"{published / whole[0]:.2f}",
            f"{published / whole[1]:.3f}",
        )


def _span(interval: Interval) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.1f}"


def _inside(value: float, interval: Interval) -> str:
    if value < interval[0]:
        return "no, below"
    return "yes" if value <= interval[1] else "no, above"


def _roofline_rows() -> Iterable[Sequence[str]]:
    device = load_device(FF_INT8_BOARD)
    base = None
    for rule, algorithm, options, seconds, joules in TABLE_V:
        form = _form(algorithm, FF_INT8_MODEL, FF_INT8_BATCH, options)
        model = model_device(form.operations, device, FF_INT8_BATCH)
        step, energy = model.latency.step, model.energy.step
        assert step is not None
        assert energy is not None
        base = base or step
        terms = [model.latency.terms[name] for name in ("arithmetic", "traffic", "launches")]
        yield (
            rule,
            *(_quantities((term.low, term.high), "s") for term in terms),
            _quantities((step.low, step.high), "s"),
            _quantities((energy.low, energy.high), "J"),
            f"{step.low / base.low:.2f}",
            f"{step.high / base.high:.2f}",
            f"{seconds / TABLE_V[0][3]:.2f}",
            f"{joules / TABLE_V[0][4]:.2f}",
        )


def _quantities(interval: Interval, unit: str) -> str:
    return f"{format_quantity(interval[0], unit)} to {format_quantity(interval[1], unit)}"


def _ratio_rows() -> Iterable[Sequence[str]]:
    first: tuple[Interval, Interval] | None = None
    for rule, algorithm, options, _, joules in TABLE_V:
        stages = _form(algorithm, FF_INT8_MODEL, FF_INT8_BATCH, options).operations
        found = cost_horowitz.arithmetic(stages), cost_horowitz.traffic(stages)
        first = first or found
        macs = sum(sum(stage.macs.values()) for stage in stages)
        yield (
            rule,
            f"{macs / 1e6:.1f}",
            cost_horowitz.ratio_text(found[0], first[0]),
            f"{found[1][1] / first[1][1]:.2f}",
            f"{joules / TABLE_V[0][4]:.2f}",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the tables; returns the exit code."""
    folder, check = parse("trainfit.bench.doc_tables.published_costs", __doc__, arguments)
    return rewrite(folder / "modelled.md", (BEGIN, END), document, check=check)


if __name__ == "__main__":
    sys.exit(main())
