"""Weights of local heads as they are drawn.

The initial weights decide how large the gradients of a layer are: for O units ``normal`` makes them
sqrt(O/2) times as large as ``he``, so with ``optimizer=sgd`` it needs a smaller rate.

Shape suffixes: O outputs of the layer under the head, C classes.
"""

from __future__ import annotations

import math

import torch

from trainfit.algorithms.local_head.options import HeadInit
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.tinyfoa.variant import fixed_head


def draw_head(
    init: HeadInit, outputs: int, classes: int, generator: torch.Generator
) -> torch.Tensor:
    """Weights ``v_CO`` of a head; zeros draw nothing.

    ``sign`` is the sparse random projection of Achlioptas (2003) without its factor: in Bio-FO's
    code a sixth of the weights is 1 and a sixth -1, here each is so with a probability of 1/6.
    """
    if init is HeadInit.LINEAR:
        return linear_init(outputs, classes, generator)[0]
    if init is HeadInit.HE:
        return fixed_head(outputs, classes, generator)
    v_CO = torch.zeros(classes, outputs)
    if init is HeadInit.NORMAL:
        v_CO.normal_(generator=generator)
    elif init is HeadInit.SIGN:
        v_CO.uniform_(-1.5, 1.5, generator=generator).trunc_()
    return v_CO


def draw_trained_head(
    init: HeadInit, outputs: int, classes: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, and a bias ``c_C`` from U(-1/sqrt(O), 1/sqrt(O)) whatever the weights are."""
    if init is HeadInit.LINEAR:
        return linear_init(outputs, classes, generator)
    bound = 1.0 / math.sqrt(outputs)
    c_C = torch.empty(classes).uniform_(-bound, bound, generator=generator)
    return draw_head(init, outputs, classes, generator), c_C
