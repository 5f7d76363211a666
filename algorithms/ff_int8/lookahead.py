"""The look-ahead of FF-INT8: layers that take the loss of later layers into account.

The paper adds the later losses to each layer's own, ``L_l + lambda (L_l+1 + ... + L_n)``, where
lambda grows from 0 by 0.001 per pass over the data, and says that no chain of derivatives through
the layers is built. But a later loss depends on the weights of layer l only through the layers in
between: without that chain its gradient is zero, and the step equals that of ``off``, at the cost
of a forward pass through the whole net before the first update. Two readings do have an effect.
Both first run forward through all layers and keep their INT8 activations, which is the memory that
the paper calls a modest increase; then the layers are updated, the last one first, all with the
weights of the forward pass.

``true``: the sum as written, with the chain. With ``e_l`` the gradient of the losses from layer l
on with respect to its output, and J_l the Jacobian of the next layer's output with respect to this
one's::

    e_l = dL_l/dy_l + J_l^T e_l+1        g_l = dL_l/dy_l + lambda J_l^T e_l+1

J goes through the INT8 weights above, the normalisation of rows and the rectifier (closed where y
was rounded to 0). The gradients e and g are INT8 with a scale per row; the scales of the weights
above, one per output, are multiplied into e before it is rounded. That is one more product per pair
of layers.

``detached``: activations are detached, so the goodness of later layers enters the logistic factor
without gradient. It cannot change a layer's own goodness, but determines how much that matters: the
logistic factor is taken at the sum of the excess of goodness over the thresholds,
``G_l - theta_l + lambda sum_j>l (G_j - theta_j)``, of which only G_l has a gradient. A layer is
changed less where later layers are certain already. This is similar to Layer Collaboration
(Lorberbom et al., AAAI 2024), in which the goodness of the other layers is a constant in a layer's
probability. With lambda = 0 the gradients are those of ``off``.

Shape suffixes: R rows of both passes, O outputs of a layer, N outputs of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from trainfit.algorithms.ff_int8.layer import (
    LayerOutput,
    LocalRule,
    unit_rows,
)
from trainfit.algorithms.numerics.int8.layer import RowQuantized
from trainfit.algorithms.numerics.int8.layer_backward import Below, back
from trainfit.algorithms.phases import phase

_SMALLEST = 2.0**-100
"""Lower limit of scales that are divided by, so that a row of zeros stays finite."""


def _forward(
    rule: LocalRule, make_input: Callable[[], RowQuantized], seeds: Iterator[int]
) -> tuple[list[RowQuantized], list[LayerOutput]]:
    """Inputs and outputs of all layers."""
    inputs: list[RowQuantized] = []
    outputs: list[LayerOutput] = []
    for layer in rule.layers:
        if outputs:
            with phase("forward"):
                inputs.append(unit_rows(outputs[-1].rows.q, outputs[-1].squares_R))
        else:
            inputs.append(make_input())
        with phase("forward"):
            outputs.append(layer.output(inputs[-1], rule.way, next(seeds)))
    return inputs, outputs


# ---- detached -------------------------------------------------------------------------------


def detached_step(
    rule: LocalRule, make_input: Callable[[], RowQuantized], weight: float, seeds: Iterator[int]
) -> None:
    """Update all layers, each with the goodness of the later ones as a constant."""
    inputs, outputs = _forward(rule, make_input, seeds)
    with phase("gradient"):
        later_R = torch.zeros(2 * rule.batch)
    for layer in reversed(rule.layers):
        out, h = outputs.pop(), inputs.pop()
        share, theta = rule.objective.share(layer.width), rule.objective.theta(layer.width)
        with phase("gradient"):
            own_R = out.real_squares()
            factors_R = torch.add(own_R, later_R, alpha=weight / share)
            later_R.add_(own_R, alpha=share).sub_(theta)
            del own_R
            rule.objective.factors_(factors_R, layer.width, rule.batch, None)
            g = RowQuantized(out.rows.q, factors_R.mul_(out.rows.scale))
        layer.update(g, h, rule.way, seeds)
        del out, h, g, factors_R


# ---- true -----------------------------------------------------------------------------------


def true_step(
    rule: LocalRule, make_input: Callable[[], RowQuantized], weight: float, seeds: Iterator[int]
) -> None:
    """Update all layers, each with the gradient of its own loss and of the later ones.

    A layer is updated after the gradient has been propagated through its weights.
    """
    inputs, outputs = _forward(rule, make_input, seeds)
    g: RowQuantized | None = None
    e: RowQuantized | None = None
    for index in range(len(rule.layers) - 1, -1, -1):
        out, above = outputs.pop(), g
        with phase("gradient"):
            factors_R = rule.factors(out, rule.layers[index].width)
            if len(rule.layers) == 1:
                g = RowQuantized(out.rows.q, factors_R)
            else:
                unit_R = factors_R if e is None else inputs[index + 1].scale
                g, e = _join(rule, index, out, (factors_R, unit_R), e, weight, seeds)
                del unit_R
            del out, factors_R
        if above is not None:
            rule.layers[index + 1].update(above, inputs.pop(), rule.way, seeds)
            del above
    assert g is not None
    rule.layers[0].update(g, inputs.pop(), rule.way, seeds)


def _join(  # noqa: PLR0917
    rule: LocalRule,
    index: int,
    out: LayerOutput,
    scales: tuple[torch.Tensor, torch.Tensor],
    e: RowQuantized | None,
    weight: float,
    seeds: Iterator[int],
) -> tuple[RowQuantized, RowQuantized | None]:
    """The gradient of a layer's output for its weights, and ``e`` for the layer below.

    ``scales`` are the factors of the layer's own loss and the scale of its output as unit rows.
    """
    q_RO, (factors_R, unit_R) = out.rows.q, scales
    if e is None:  # the last layer has no gradient from above
        e_RN, w_NO, later_R = q_RO[:, :0], q_RO[:0], factors_R
    else:
        e_RN, w_NO = e.q, rule.layers[index + 1].weights.integers(rule.way).q
        later_R = out.rows.scale.clamp(min=_SMALLEST).reciprocal_().mul_(unit_R).mul_(e.scale)
    fold_O = rule.layers[index].weights.scales() if index else factors_R[:0]
    at = Below(q_RO, out.squares_R, factors_R, later_R, fold_O)
    return back(e_RN, w_NO, at, weight, rule.way, (next(seeds), next(seeds)))
