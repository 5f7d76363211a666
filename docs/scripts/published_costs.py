"""Write modelled time and energy beside what was published into docs/modelled.md.

Cycles on microcontrollers beside Pau & Aymone (COINS 2023), the roofline and the energy per
operation beside Table V of FF-INT8 (Ma et al., DAC 2025). Nothing is fitted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from generated_section import ROOT, Section, table
from trainfit.bench.costs import cycles as cost_cycles
from trainfit.bench.costs import horowitz as cost_horowitz
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import Interval, scaled, summed
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.verdicts.intervals import format_quantity
from trainfit.hardware_profiles import load_core, load_device
from trainfit.plots.papers.published import PAU_AYMONE_AUTOENCODER, TABLE_V

AUTOENCODER = "mlp-640-128x4-8-128x4-640"
"""The fully connected autoencoder of MLPerf Tiny's anomaly detection."""

BOARDS = (("STM32H735G", "cortex-m7", 550e6), ("STM32G474RE", "cortex-m4f", 170e6))
"""Board, cycle table and clock."""

OURS = {"BP": "backprop_int8", "FF": "ff_int8", "PEPITA": "pepita", "MEMPEPITA": "mem_pepita"}
"""Pau & Aymone's name of a rule and our algorithm."""

MLP, BATCH, BOARD = "mlp-784-1000-1000-10", 32, "jetson-orin-nano-4gb"
"""Of Table V."""

RULES: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("BP-FP32", "FP32", "backprop", {}),
    ("BP-INT8", "INT8", "backprop_int8", {}),
    ("BP-UI8", "UI8", "backprop_ui8", {}),
    ("BP-GDAI8", "GDAI8", "backprop_dai8", {}),
    ("FF-INT8", "FF-INT8", "ff_int8", {}),
    ("FF-INT8, look-ahead", "FF-INT8", "ff_int8", {"lookahead": "true"}),
)
"""A row here, the column of Table V, our algorithm and its options."""


def document() -> str:
    """All tables as Markdown."""
    return "\n\n".join(
        [
            "### Cycles: Pau & Aymone's autoencoder",
            table(
                "rule | board | published ms | products alone, ms | published inside"
                " | whole step, ms | published inside | published / low | published / high",
                _cycle_rows(),
            ),
            "### Roofline: FF-INT8's Table V, one step of the MLP",
            table(
                "rule | arithmetic | traffic | launches | step | energy | low / FP32's"
                " | high / FP32's | published time / FP32's | published energy / FP32's",
                _roofline_rows(),
            ),
            "### Energy per operation, as ratios",
            table(
                "rule | million MACs | arithmetic / FP32's | traffic / FP32's"
                " | published energy / FP32's",
                _ratio_rows(),
            ),
        ]
    )


def _form(algorithm: str, model: str, batch: int, options: dict[str, str]) -> PredictedWorkload:
    return predicted_workload(
        Workload(
            algorithm=algorithm, options=options, model=model, dataset="none", batch_size=batch
        )
    )


def cycle_bounds() -> Iterable[tuple[str, str, float, Interval, Interval]]:
    """Rule, board, published ms, ms of the products as INT8, ms of the whole step as it is here."""
    for rule, algorithm in OURS.items():
        form = _form(algorithm, AUTOENCODER, 1, {})
        macs = sum(sum(stage.macs.values()) for stage in form.operations)
        published = PAU_AYMONE_AUTOENCODER[rule].milliseconds
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
    device, base, theirs = load_device(BOARD), None, TABLE_V["MLP"]
    for name, column, algorithm, options in RULES:
        form = _form(algorithm, MLP, BATCH, options)
        model = model_device(form.operations, device, BATCH)
        step, energy = model.latency.step, model.energy.step
        assert step is not None
        assert energy is not None
        base = base or step
        terms = [model.latency.terms[term] for term in ("arithmetic", "traffic", "launches")]
        yield (
            name,
            *(_quantities((term.low, term.high), "s") for term in terms),
            _quantities((step.low, step.high), "s"),
            _quantities((energy.low, energy.high), "J"),
            f"{step.low / base.low:.2f}",
            f"{step.high / base.high:.2f}",
            f"{theirs[column].seconds / theirs['FP32'].seconds:.2f}",
            f"{theirs[column].joules / theirs['FP32'].joules:.2f}",
        )


def _quantities(interval: Interval, unit: str) -> str:
    return f"{format_quantity(interval[0], unit)} to {format_quantity(interval[1], unit)}"


def _ratio_rows() -> Iterable[Sequence[str]]:
    first: tuple[Interval, Interval] | None = None
    theirs = TABLE_V["MLP"]
    for name, column, algorithm, options in RULES:
        stages = _form(algorithm, MLP, BATCH, options).operations
        found = cost_horowitz.arithmetic(stages), cost_horowitz.traffic(stages)
        first = first or found
        macs = sum(sum(stage.macs.values()) for stage in stages)
        yield (
            name,
            f"{macs / 1e6:.1f}",
            cost_horowitz.ratio_text(found[0], first[0]),
            f"{found[1][1] / first[1][1]:.2f}",
            f"{theirs[column].joules / theirs['FP32'].joules:.2f}",
        )


SECTION = Section(ROOT / "docs" / "modelled.md", "modelled", document)

if __name__ == "__main__":
    sys.exit(SECTION.main(__doc__))
