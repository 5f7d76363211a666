"""What FF-INT8 claims of its three convolutional nets."""

from __future__ import annotations

from trainfit.bench.claims.claim import Check, compare
from trainfit.bench.claims.ff_int8 import ORDER, PAPER
from trainfit.bench.claims.quantities import BOTH, RAM, Quantity, modelled
from trainfit.bench.claims.statistics import CHANGE_PERCENT, less, near
from trainfit.bench.claims.workloads import DEFAULT, Workloads, rule
from trainfit.plots.papers.published import TABLE_V

__all__ = ["PAPER"]

SUITES = ["ff-int8-cnns"]
SOURCE = "Table V, MobileNet-V2, EfficientNet-B0 and ResNet-18"
NETS = {
    "MobileNet-V2": "mobilenet_v2-3x32x32-10",
    "EfficientNet-B0": "efficientnet_b0-3x32x32-10",
    "ResNet-18": "resnet18-3x32x32-10",
}
"""A row of Table V and the net here."""

FF_INT8 = rule("ff_int8", lookahead="true")
FORMS = {"with look-ahead": FF_INT8, "without": rule("ff_int8", lookahead="off")}
BACKPROP = rule("backprop", momentum=0.0, optimizer=DEFAULT, update=DEFAULT, checkpoint=DEFAULT)
PRODUCT = rule("backprop", momentum=0.0, optimizer=DEFAULT, update="product", checkpoint=DEFAULT)
INT8 = rule("backprop_int8", momentum=DEFAULT, master=DEFAULT, weight_gradient=DEFAULT)
UI8 = rule("backprop_ui8", momentum=0.0)
DAI8 = rule("backprop_dai8", momentum=0.0)


def _on(net: str, side: Workloads) -> Workloads:
    return side.at(model=NETS[net], batch_size=32)


def _change(net: str, column: str, figure: str) -> float:
    """By how many percent FF-INT8's figure differs from another column's, as printed."""
    theirs, other = (float(getattr(TABLE_V[net][name], figure)) for name in ("FF-INT8", column))
    return round(100 * (theirs / other - 1), 1)


def _memory(name: str, other: Workloads, column: str) -> list[Check]:
    return [
        check
        for form, side in FORMS.items()
        for net in NETS
        for check in compare(
            f"{net}, {form}, against {name}",
            BOTH,
            CHANGE_PERCENT,
            _on(net, side),
            _on(net, other),
            expected=near(_change(net, column, "megabytes"), give=5),
        )
    ]


PAPER.claim(
    "ff-int8-cnns-memory-gdai8",
    "On the convolutional nets FF-INT8 needs 24.5, 27.0 and 23.7 % less memory than INT8"
    " backpropagation (GDAI8).",
    source=SOURCE,
    suites=SUITES,
    checks=_memory("DAI8", DAI8, "GDAI8"),
    remark="Bytes of tensors alone, without the framework that is in the paper's figures; DAI8"
    " stands in for GDAI8, and keeps float32 masters. Batch normalisation is in float32 here."
    " With look-ahead as the paper writes it a unit's gradient holds the losses of those behind it,"
    " so that all of both passes is kept until the last; the table is nearer to the form without.",
)

PAPER.claim(
    "ff-int8-cnns-memory-fp32",
    "On the convolutional nets FF-INT8 needs 32.7, 41.3 and 37.8 % less memory than float32"
    " backpropagation.",
    source=SOURCE,
    suites=SUITES,
    checks=[
        *_memory("backprop", BACKPROP, "FP32"),
        *_memory("backprop, update = product", PRODUCT, "FP32"),
    ],
    remark="As above. With update = product no gradient of a weight exists in backpropagation"
    " either, as none does in FF-INT8.",
)

PAPER.claim(
    "ff-int8-cnns-memory-order",
    "On each convolutional net memory rises in the order of Table V: FF-INT8 least, FP32 most.",
    source=SOURCE,
    suites=SUITES,
    checks=[
        check
        for net, order in (
            ("MobileNet-V2", (FF_INT8, INT8, DAI8, UI8, BACKPROP)),
            ("EfficientNet-B0", (FF_INT8, DAI8, INT8, UI8, BACKPROP)),
            ("ResNet-18", (FF_INT8, INT8, DAI8, UI8, BACKPROP)),
        )
        for check in compare(
            f"{net}: {RAM.name} of the five",
            RAM,
            ORDER,
            *(_on(net, side) for side in order),
            expected=near(1.0),
        )
    ],
    remark="The order of the other three differs from net to net in the table itself. UI8 and DAI8"
    " keep float32 masters here, as their papers do; plain INT8 keeps none.",
)


def _cost(name: str, other: Workloads, column: str) -> list[Check]:
    quantities: tuple[tuple[Quantity, str], ...] = (
        (modelled("jetson-orin-nano-4gb", "seconds"), "seconds"),
        (modelled("jetson-orin-nano-4gb", "joules"), "joules"),
    )
    return [
        check
        for net in NETS
        for quantity, figure in quantities
        for check in compare(
            f"{net}, modelled {figure} per step against {name}",
            quantity,
            CHANGE_PERCENT,
            _on(net, FF_INT8),
            _on(net, other),
            expected=less(0.0, published=_change(net, column, figure)),
        )
    ]


PAPER.claim(
    "ff-int8-cnns-cost",
    "On the convolutional nets FF-INT8 trains in less time, with less energy, than INT8"
    " backpropagation (GDAI8) and than float32 backpropagation.",
    source=SOURCE,
    suites=SUITES,
    checks=[*_cost("DAI8", DAI8, "GDAI8"), *_cost("backprop", BACKPROP, "FP32")],
    remark="Of one step, modelled: an interval per rule for the paper's board.",
)
