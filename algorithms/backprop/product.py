"""A step in which no gradient of a weight exists as a tensor (``update=product``).

Autograd differentiates the loss; from the logits down, the chain rule is written out, so that each
layer takes its step in the order in which everything still finds what it needs::

    b <- b - lr (...)      its gradient is one row, sum dz, and nothing below reads b
    dh = dz W              with the weight that the forward pass read
    W <- W - lr (...)      dz^T h goes into the momentum, or into W, element by element
    dz = dh . 1[h > 0]     in place of dh, of the layer below

For the third see :meth:`trainfit.algorithms.numerics.optimisers.Sgd.apply_product`. Adam has to see
the square of each element of the gradient: there dz^T h exists for some rows of W at a time.

``checkpoint=N`` keeps, of every N hidden layers, the output of the last, which is the input of the
next. The others are recomputed from the output below them once the gradient has passed the last.

Shape suffixes: B batch, I inputs and O outputs of a layer, T some of them, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.backprop.loss import mean_loss
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.activations import tile_extent
from trainfit.algorithms.numerics.optimisers import Optimiser, Sgd
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class Product:
    """The step of ``backprop`` with ``update=product``.

    Args:
        model: The net.
        parameters: ``w1``, ``b1`` and so on, the classifier last.
        optimiser: Knows their names.
        loss: The loss of the logits.
        segment: Hidden layers per recomputed segment, 0 for no recomputation.
    """

    def __init__(
        self,
        model: Mlp,
        parameters: dict[str, torch.Tensor],
        optimiser: Optimiser,
        *,
        loss: Loss,
        segment: int,
    ) -> None:
        self._model = model
        self._parameters = parameters
        self._optimiser = optimiser
        self._loss = loss
        self._segment = segment or 1

    def _recomputed(self, last: int) -> range:
        """The hidden layers that are recomputed once the gradient has passed layer ``last``."""
        ends = last % self._segment == 0 or last == len(self._model.hidden)
        first = last - (last - 1) % self._segment
        return range(first, last) if ends else range(0)

    def _is_kept(self, number: int) -> bool:
        """Whether the output of a hidden layer is kept from the forward pass; 0 is the input."""
        return number % self._segment == 0 or number == len(self._model.hidden)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch."""
        self._optimiser.begin_step()
        layers = len(self._model.layers)
        with torch.no_grad():
            with phase("forward"):
                h = {0: x}  # outputs of hidden layers
                for number in range(1, layers):
                    self._hidden(h, number)
                    if not self._is_kept(number - 1):
                        del h[number - 1]
                logits_BC = self._linear(h[layers - 1], layers).requires_grad_()
                with torch.enable_grad():
                    loss = mean_loss(logits_BC, y, self._loss)
            with phase("gradient"):
                (dz_BO,) = torch.autograd.grad(loss, logits_BC)
                del loss, logits_BC
            for number in range(layers, 1, -1):
                self._move_bias(number, dz_BO)
                with phase("gradient"):
                    dh_BI = dz_BO @ self._parameters[f"w{number}"]
                below = number - 1
                self._move_weight(number, dz_BO, h[below])
                with phase("gradient"):
                    dz_BO = dh_BI
                    del dh_BI
                    _through_rectifier_(dz_BO, h.pop(below))
                    for other in self._recomputed(below):
                        self._hidden(h, other)
            self._move_bias(1, dz_BO)
            self._move_weight(1, dz_BO, x)

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        return functional.linear(
            h_BI, self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        )

    def _hidden(self, h: dict[int, torch.Tensor], number: int) -> None:
        """Add the output of hidden layer ``number`` to ``h``, which has that of the one below."""
        h_BO = self._linear(h[number - 1], number).relu_()
        h[number] = tag(h_BO, Category.ACTIVATIONS, f"h{number}")

    def _move_bias(self, number: int, dz_BO: torch.Tensor) -> None:
        name = f"b{number}"
        with phase("update"):
            db_O = tag(dz_BO.sum(0), Category.GRADIENTS, f"d{name}")
            self._optimiser.apply(name, self._parameters[name], db_O)

    def _move_weight(self, number: int, dz_BO: torch.Tensor, h_BI: torch.Tensor) -> None:
        name, w_OI = f"w{number}", self._parameters[f"w{number}"]
        if isinstance(self._optimiser, Sgd):
            with phase("update"):
                self._optimiser.apply_product(name, w_OI, dz_BO.T, h_BI)
            return
        for rows in in_tiles(len(w_OI), _rows(w_OI.shape)):
            with phase("gradient"):
                dw_TI = dz_BO[:, rows].T @ h_BI
            with phase("update"):
                self._optimiser.apply_rows(name, w_OI, dw_TI, rows)
                del dw_TI


def _rows(shape: tuple[int, ...]) -> int:
    """Rows of a weight (O, I) whose gradient exists at a time, for Adam."""
    return tile_extent(shape[0], 4 * shape[1])


def _through_rectifier_(dh_BO: torch.Tensor, h_BO: torch.Tensor) -> None:
    """``dh . 1[h > 0]``, in place."""
    torch.ops.aten.threshold_backward.grad_input(dh_BO, h_BO, 0, grad_input=dh_BO)
