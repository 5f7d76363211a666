"""What Pau & Aymone claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainfit.bench.claims.claim import Check, Paper, compare
from trainfit.bench.claims.quantities import ARENA, ARENA_RAM, MACS, RAM, Quantity, in_phase
from trainfit.bench.claims.statistics import CHANGE_PERCENT, near
from trainfit.bench.claims.workloads import DEFAULT, Workloads, rule

PAPER = Paper("pau-aymone", "Pau & Aymone (COINS 2023)")

SHEET = "the authors' spreadsheet (analysis.ods)"
SUITES = ["results/suites/autoencoder.toml"]
NOTHING = near(-0.3, give=1)


def _autoencoder(algorithm: str) -> Workloads:
    return rule(algorithm).at(model="mlp-640-128x4-8-128x4-640", batch_size=1)


# ---- three CNNs ----------------------------------------------------------------------------------

CNN_SUITES = ["forward-only-cnns"]


@dataclass(frozen=True)
class _Net:
    """One of MLPerf Tiny's nets, and what the sheet says of a step on it, in KB and millions.

    Attributes:
        name: In a sentence.
        model: Ours.
        activations: INT8 values that have to be there at once.
        weights: INT8 values.
        macs: Multiply-accumulates.
    """

    name: str
    model: str
    activations: Mapping[str, float]
    weights: float
    macs: Mapping[str, float]

    def change(self, side: str, what: str) -> float:
        """Of a rule against backpropagation, in percent."""
        own, other = (
            {
                "activations": self.activations[each],
                "ram": self.weights + self.activations[each],
                "macs": self.macs[each],
            }[what]
            for each in (side, "BP")
        )
        return round(100 * own / other - 100, 1)

    def of(self, algorithm: str, **options: Any) -> Workloads:
        """Our workloads on it, one sample at a time."""
        return rule(algorithm, **options).at(model=self.model, batch_size=1)


def _by_rule(backprop: float, ff: float, pepita: float, mempepita: float) -> Mapping[str, float]:
    return {"BP": backprop, "FF": ff, "PEPITA": pepita, "MEMPEPITA": mempepita}


NETS = (
    _Net(
        "DS-CNN",
        "ds_cnn",
        _by_rule(72.6, 20.6, 72.6, 28.1),
        22.6,
        _by_rule(7.7, 10.9, 8.0, 10.7),
    ),
    _Net(
        "MobileNet",
        "mobilenet_v1_025",
        _by_rule(259.5, 82.9, 259.5, 92.2),
        210.9,
        _by_rule(22.4, 31.5, 22.9, 30.5),
    ),
    _Net(
        "ResNet-8",
        "resnet8",
        _by_rule(113.8, 52.2, 113.8, 81.9),
        77.7,
        _by_rule(37.1, 50.4, 37.6, 50.1),
    ),
)
OURS = {"FF": "forward_forward", "PEPITA": "pepita", "MEMPEPITA": "mem_pepita"}
FOLDED = "sparse_update"
"""With all layers and biases, backpropagation whose normalisation is folded, as theirs has none."""


def _on_cnns(quantity: Quantity, what: str, sides: Sequence[str], give: float) -> list[Check]:
    """A rule against backpropagation, on each net."""
    return [
        check
        for net in NETS
        for side in sides
        for check in compare(
            f"{net.name}, {side}, {quantity.name}",
            quantity,
            CHANGE_PERCENT,
            net.of(OURS[side], momentum=0.0),
            net.of(FOLDED, layers="all", biases="all", momentum=0.0),
            expected=near(net.change(side, what), give=give),
        )
    ]


def _in_int8() -> list[Check]:
    return [
        check
        for net in NETS
        for check in compare(
            f"{net.name}, FF-INT8 against INT8 backprop, {ARENA_RAM.name}",
            ARENA_RAM,
            CHANGE_PERCENT,
            net.of("ff_int8", lookahead=DEFAULT),
            net.of("backprop_int8"),
            expected=near(net.change("FF", "ram"), give=5),
        )
    ]


PAPER.claim(
    "pau-aymone-ram-cnn",
    "On three CNNs Forward-Forward needs 41.4 % less RAM than backpropagation, MEMPEPITA 33.0 %.",
    source=SHEET,
    suites=CNN_SUITES,
    checks=[
        *_on_cnns(ARENA_RAM, "ram", ("FF", "MEMPEPITA"), give=5),
        *_on_cnns(RAM, "ram", ("FF", "MEMPEPITA"), give=5),
        *_in_int8(),
    ],
    remark="Their means over three nets; here each net against its own figure, give or take 5"
    " points. Theirs is weights plus activations of one sample in INT8, without gradients, buffers"
    " of the optimiser, the matrix that projects the error, and what a convolution needs while it"
    " runs. Ours counts all of these in float32 (but no momentum): as straight-line C in a planned"
    " arena, and as torch's allocator with oneDNN off, which lays out windows as columns."
    " They have no batch normalisation: ours is folded in backpropagation (sparse_update of all"
    " layers and biases) and PEPITA; Forward-Forward takes that of the batch. Our Forward-Forward"
    " trains blocks of two convolutions, within which it keeps activations, theirs single layers.",
)

PAPER.claim(
    "pau-aymone-activations-cnn",
    "On three CNNs Forward-Forward has 64.6 % fewer activations than backpropagation, MEMPEPITA"
    " 51.3 %.",
    source=SHEET,
    suites=CNN_SUITES,
    checks=_on_cnns(ARENA, "activations", ("FF", "MEMPEPITA"), give=5),
    remark="Each net against its own figure, by all that a step needs beside weights and input."
    " Theirs are outputs of layers alone; ours are also gradients: in Forward-Forward and PEPITA of"
    " one weight at a time, in backpropagation also of activations.",
)

PAPER.claim(
    "pau-aymone-macs-cnn",
    "On three CNNs Forward-Forward needs 39.7 % more multiply-accumulates per step than"
    " backpropagation, PEPITA 2.7 %, MEMPEPITA 36.9 %.",
    source=SHEET,
    suites=CNN_SUITES,
    checks=_on_cnns(MACS, "macs", tuple(OURS), give=2),
    remark="Each net against its own figure. Theirs of Forward-Forward is 2 (F + WU) and its"
    " goodness: no gradient goes from a layer to the one below. Ours trains blocks of two"
    " convolutions, within which one does, both for right and for wrong labels.",
)

# ---- the autoencoder -----------------------------------------------------------------------------

PAPER.claim(
    "pau-aymone-ram-autoencoder",
    "On the fully connected autoencoder Forward-Forward and MEMPEPITA save 0.3 % of RAM: nothing.",
    source=SHEET,
    suites=SUITES,
    checks=[
        *compare(
            "FF-INT8 against INT8 backprop",
            (in_phase("forward", held=True), RAM),
            CHANGE_PERCENT,
            _autoencoder("ff_int8"),
            _autoencoder("backprop_int8"),
            expected=NOTHING,
        ),
        *compare(
            f"MEMPEPITA against PEPITA, {RAM.name}",
            RAM,
            CHANGE_PERCENT,
            _autoencoder("mem_pepita"),
            _autoencoder("pepita"),
            expected=NOTHING,
        ),
    ],
    remark="Theirs is INT8 weights plus activations, without gradients, optimiser state and"
    " temporaries; that is closest to static bytes plus the forward phase. Ours counts all, and the"
    " Forward-Forward rules here do not hold a last layer, which is 31 % of this net's weights."
    " MEMPEPITA beside PEPITA, since backpropagation holds no feedback matrix and no mask.",
)


def _macs(name: str, algorithm: str, published: float) -> list[Check]:
    what = f"multiply-accumulates of a step, {name} against backprop"
    sides = _autoencoder(algorithm), _autoencoder("backprop")
    return compare(what, MACS, CHANGE_PERCENT, *sides, expected=near(published, give=5))


PAPER.claim(
    "pau-aymone-macs-ff",
    "On the autoencoder Forward-Forward needs 49.5 % more multiply-accumulates per step than"
    " backpropagation.",
    source=SHEET,
    suites=SUITES,
    checks=_macs("Forward-Forward", "forward_forward", 49.5),
    remark="Their Forward-Forward trains every layer, the last one included, and counts goodness"
    " and normalisation; ours trains the hidden layers, and the last one is 31 % of the weights.",
)

PAPER.claim(
    "pau-aymone-macs-pepita",
    "On the autoencoder PEPITA needs 69.1 % more multiply-accumulates per step than"
    " backpropagation.",
    source=SHEET,
    suites=SUITES,
    checks=_macs("PEPITA", "pepita", 69.1),
)

PAPER.claim(
    "pau-aymone-macs-mempepita",
    "On the autoencoder MEMPEPITA needs 106.2 % more multiply-accumulates per step than"
    " backpropagation.",
    source=SHEET,
    suites=SUITES,
    checks=_macs("MEMPEPITA", "mem_pepita", 106.2),
    remark="They count the standard pass a second time as a whole; ours repeats what comes after"
    " the first layer, since the first layer's input is at hand.",
)
