"""What the seed papers say of memory, in a few lines each, and the device view of their rules.

Sizes in elements: ``n[0]`` inputs, ``n[1:]`` units of each layer, the last of them classes; B rows.
Terms that no paper counts but every implementation needs (a scale or a length per row, a bias
gradient, labels' bits) are named in the formulas.
"""

from __future__ import annotations

import pytest

from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.device import device_view
from trainfit.bench.trace.tracing import trace_stage

NETS = ["mlp-64-32-16-10", "mlp-64-128-128-10", "mlp-784-100-50-10"]
ROWS = [8, 32]

on_nets = pytest.mark.parametrize("model", NETS)
in_batches = pytest.mark.parametrize("rows", ROWS)


def needed(name: str, model: str, rows: int, stage: int = 0) -> int:
    algorithm = build_on_meta(name, model)
    algorithm.enter_stage(stage)
    return device_view(trace_stage(algorithm, rows)).peak_bytes


def sizes(model: str) -> list[int]:
    return [int(each) for each in model.split("-")[1:]]


@on_nets
@in_batches
def test_backprop(model: str, rows: int) -> None:
    """Forward, gradient and update keep all layers (TinyFoA, main figure: BP is "All" in each).

    While layer l is walked back: activations below it, the gradients of its outputs and inputs,
    and the weight and bias gradients of it and all layers above.
    """
    n = sizes(model)
    last = len(n) - 1

    def at(layer: int) -> int:
        below = rows * sum(n[1:layer])
        errors = rows * (n[layer] + (n[layer - 1] if layer > 1 else 0))
        weights = sum(n[k] * n[k - 1] for k in range(layer, last + 1))
        biases = sum(n[k] for k in range(max(layer, 2), last + 1))  # the lowest is used at once
        return 4 * (below + errors + weights + biases)

    assert needed("backprop", model, rows) == max(at(layer) for layer in range(1, last + 1))


@on_nets
@in_batches
def test_forward_forward(model: str, rows: int) -> None:
    """A layer needs its own input and output, and no other (Hinton 2022, section 2).

    And the length of each output.
    """
    n = sizes(model)
    layers = [n[1], *(n[k - 1] + n[k] for k in range(2, len(n) - 1))]
    assert needed("forward_forward", model, rows) == 4 * rows * (max(layers) + 1)


@on_nets
@in_batches
@pytest.mark.parametrize("layer", [1, 2])
def test_tinyfoa(model: str, rows: int, layer: int) -> None:
    """Forward one layer, gradient and update one slice of it (main figure, row TinyFoA; M = 2).

    Activations of the layers below are bits, in rows of whole bytes per slice.
    """
    n = sizes(model)
    classes, inputs, outputs = n[-1], n[layer - 1], n[layer]
    bits = 2 * rows * -(-inputs // 16) if layer > 1 else 0
    mask = rows * -(-outputs // 16)
    forward = 4 * rows * (outputs + classes) + mask + bits
    gradient = 4 * (outputs // 2 * (inputs // 2) + rows * outputs // 2) + bits
    below = 4 * rows * inputs + bits if layer > 1 else 0  # while the layer below is made bits
    assert needed("tinyfoa", model, rows, layer - 1) == max(forward, gradient, below)


@on_nets
@in_batches
def test_ff_int8(model: str, rows: int) -> None:
    """INT8 inputs, outputs and gradients of one layer, for positives and negatives (Algorithm 1).

    And three numbers a row and a bias gradient, or the sums of a row of the weights' gradient.
    """
    n = sizes(model)
    both = 2 * rows
    layer = both * (n[0] + 2 * n[1])  # the first: its output goes on to the second
    rescaled = layer + 3 * 4 * both + 4 * n[1]
    updated = layer + 4 * both + 4 * n[0]
    assert needed("ff_int8", model, rows) == max(rescaled, updated)


@on_nets
@in_batches
def test_pepita(model: str, rows: int) -> None:
    """All activations of the first pass, and two layers of the second (Dellaferrera 2022, Alg. 1).

    The largest two are the modulated input and the first layer's output, on these nets.
    """
    n = sizes(model)
    assert needed("pepita", model, rows) == 4 * rows * (sum(n[1:-1]) + n[0] + n[1])
