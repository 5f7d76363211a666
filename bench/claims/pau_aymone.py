"""What Pau & Aymone claim."""

from __future__ import annotations

from trainfit.bench.claims.claim import Check, Paper, compare
from trainfit.bench.claims.quantities import MACS, RAM, in_phase
from trainfit.bench.claims.statistics import CHANGE_PERCENT, near
from trainfit.bench.claims.workloads import Workloads, rule

PAPER = Paper("pau-aymone", "Pau & Aymone (COINS 2023)")

SHEET = "the authors' spreadsheet (analysis.ods)"
SUITES = ["results/suites/autoencoder.toml"]
NOTHING = near(-0.3, give=1)


def _autoencoder(algorithm: str) -> Workloads:
    return rule(algorithm).at(model="mlp-640-128x4-8-128x4-640", batch_size=1)


PAPER.claim(
    "pau-aymone-ram-cnn",
    "On three CNNs Forward-Forward needs 41.4 % less RAM than backpropagation, MEMPEPITA 33.0 %.",
    source=SHEET,
    not_testable="there is no CNN here: models are fully connected nets, for tinyfoa locally"
    " connected ones",
)

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
