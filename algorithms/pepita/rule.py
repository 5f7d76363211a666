"""PEPITA: a second forward pass, its input modulated by the error, replaces the backward pass.

The standard pass gives activations h_l and the error e; the modulated pass starts from x + F e::

    e = softmax(a) - y*                      h'_0 = x + F e
    dw_l = (h_l - h'_l)^T h'_{l-1} / B       hidden layers
    dw_L = e'^T h'_{L-1} / B                 classifier, e' the modulated pass's error

* ``pepita`` (Dellaferrera & Kreiman, ICML 2022, arXiv 2201.11665) keeps all h_l until the modulated
  pass. It takes 2 F + WU + P multiply-accumulates: F one forward pass, WU the products of the
  weight gradients, P the projection F e.
* ``mem_pepita`` (:mod:`trainfit.algorithms.pepita.mem_pepita`) keeps none and computes them again.

Everything is in place: h_l becomes the difference, h'_{l-1} is scaled by 1/B just before it dies,
and a layer is updated as soon as its modulated output is known. The only tensor of the input's size
is h'_0; the batch itself is the caller's.

Decisions. As in the authors' code: no biases; weights U(+-sqrt(6/I)); F U(+-sqrt(6/I)) times 0.05
with I inputs of the net; gradients are means over the batch; dropout keeps 0.9 of the hidden units,
the same ones in both passes. The sign of F e does not matter, since F is drawn symmetrically around
0. The masks are computed again from a seed, which takes 8 bytes, where packed masks take a bit per
unit (see :mod:`trainfit.algorithms.numerics.dropout`). ``output_error=standard`` uses e instead of
e', as in the code of Srinivasan et al. (arXiv 2302.05440): the classifier then computes nothing in
the modulated pass, but e is alive for the whole step. The rate multiplies the velocity here, as in
``torch.optim.SGD``; theirs holds the rate (``v <- momentum v - rate g; w <- w + v``), so that after
a decay what it has gathered still moves weights at the old rate.

``weights=binary`` and ``activations=binary`` follow the code of TinyFoA's authors, without any
straight-through cut: no gradient is propagated through binarised values, and that code, too, adds
the products to the latent weights unchanged. That code clips float weights to [-1, 1], too; here
only weights that are binarised are clipped. See :mod:`trainfit.algorithms.nets.binarised` and
:mod:`trainfit.algorithms.pepita.binary`.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.binarised import BinarisedNet
from trainfit.algorithms.numerics.binary.activations import Bits, Hidden
from trainfit.algorithms.numerics.dropout import Dropout
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.pepita.binary import (
    binarise_dropped,
    difference,
)
from trainfit.algorithms.pepita.options import OutputError, PepitaOptions
from trainfit.algorithms.phases import Category, phase, tag


class PepitaRule(BinarisedNet[PepitaOptions]):
    """The step, except for the source of the standard pass's activations."""

    _cuts = False

    def __init__(self, model: Mlp, options: PepitaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._need_hidden_layers()
        bound = options.feedback_scale * math.sqrt(6.0 / model.inputs)
        self._feedback_CI = torch.empty(model.classes, model.inputs)
        self._feedback_CI.uniform_(-bound, bound, generator=self.generator)
        self._dropout = Dropout(options.keep, self.generator)
        self._last = len(model.layers)

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """No bias; U(+-1/sqrt(I)) becomes U(+-sqrt(6/I))."""
        return {f"w{number}": w_OI.mul_(math.sqrt(6.0))}

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer, during the modulated pass."""
        self._optimiser.begin_step()
        kept: list[Hidden] = []
        with torch.no_grad():
            with phase("forward.standard"):
                self._dropout.begin_step()
                error_BC = self._first_pass(x, kept)
            with phase("gradient"):
                cross_entropy_error_(error_BC, y)  # divided by B
            with phase("forward.modulated"):
                x_BI = torch.addmm(x, error_BC, self._feedback_CI, alpha=len(x))
                below: Hidden = tag(x_BI, Category.INPUTS, "modulated input")
                del x_BI
            if self.options.output_error is OutputError.MODULATED:
                del error_BC
            for number in range(1, self._last):
                h = self._recall(kept, number)
                with phase("forward.modulated"):
                    m = self._hidden(below, number)
                self._learn(number, h, m, below, len(x))
                below = m
                self._put_back(h, m, number)
                del h, m
            if self.options.output_error is OutputError.MODULATED:
                with phase("forward.modulated"):
                    error_BC = self._linear(below, self._last)
                with phase("gradient"):
                    cross_entropy_error_(error_BC, y)
            self._apply(self._last, error_BC, below)

    def _hidden(self, h: Hidden, number: int, *, training: bool = True) -> Hidden:
        """A hidden layer in either pass, with the same units dropped."""
        z_BO, dropout = self._linear(h, number), self._dropout if training else None
        if self._bits:
            return binarise_dropped(z_BO, dropout, number)
        return dropout.apply_(z_BO.relu_(), number) if dropout else z_BO.relu_()

    def _learn(self, number: int, h: Hidden, m: Hidden, below: Hidden, batch: int) -> None:
        """Update a hidden layer from its outputs of both passes, overwritten if float."""
        match h, m, below:
            case torch.Tensor(), torch.Tensor(), torch.Tensor():
                with phase("gradient"):
                    h.sub_(m)
                    below.mul_(1.0 / batch)
                self._apply(number, h, below)
            case Bits(), Bits(), _:
                for outputs in self._tiles(number):
                    with phase("gradient"):
                        difference_BT = difference(h, m, outputs)
                    self._apply_tile(number, difference_BT, below, outputs)
                    del difference_BT
                self._clip(number)

    @abstractmethod
    def _first_pass(self, x: torch.Tensor, kept: list[Hidden]) -> torch.Tensor:
        """The logits; adds to ``kept`` what ``_recall`` will need."""

    @abstractmethod
    def _recall(self, kept: list[Hidden], number: int) -> Hidden:
        """The standard pass's output of hidden layer ``number``."""

    def _put_back(self, h: Hidden, m: Hidden, number: int) -> None:
        """Restore h from the difference, if it is needed again."""

    # ---- what is kept -----------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights, optimiser state and F."""
        yield from super().static_tensors()
        yield StaticTensor("feedback", self._feedback_CI, Category.BUFFERS)
