"""Hidden layers trained through fixed random matrices: direct feedback alignment and DRTP.

The gradient of hidden layer l is replaced by a projection that needs no other layer's weights::

    DFA    dz_l = B_l^T (p - y*) / B . f'(z_l)       p = softmax(a), or sigmoid(a)
    sDFA   dz_l = B_l^T sign(p - y*) / B . f'(z_l)
    DRTP   dz_l = -B_l^T y* / B . f'(z_l)            y* one-hot: the error's sign, known before it

The classifier follows the true gradient of its loss: ``dz = (p - y*) / B`` with the softmax's
cross-entropy, ``(p - y*) / (B C)`` with ``loss=binary_cross_entropy``, a mean over the classes too
(:mod:`trainfit.algorithms.numerics.losses`). The hidden layers' signal has no such factor.

* DFA (Nokland, NIPS 2016) needs the error, hence all activations until the forward pass is over,
  as backpropagation does; it saves only the transport of weights.
* DRTP (Frenkel, Lefebvre & Bol, Frontiers in Neuroscience 15:629892, 2021) needs the label only:
  each layer is updated as soon as its output is known, so only two layers' activations are alive.

Decisions: B_l is drawn Kaiming-uniform, U(-b, b); its sign does not matter, since it is random.
Hidden units are ``tanh`` as in Frenkel's released code; DFA may have rectifiers instead. DRTP may
not: its target is the same in every step, and only saturation keeps it from switching off a
rectifier permanently (on digits it leaves a net at chance).

Three defaults are not those of that code:

* ``hidden_gradient=sum``: its hidden gradients are sums over the batch, as the rows come out of
  autograd with a signal that nobody divided, while the classifier's is the mean of its loss. Ours
  are means in both, so that the rate does not change its meaning with the batch. The sum is the
  same rule as the mean with B times the fixed matrices.
* ``feedback_fan_in=units``: torch takes the second extent of its C x O matrices, the units, for the
  fan-in: ``b = sqrt(6 / O)``. Ours projects C numbers, ``b = sqrt(6 / C)``. At 2000 units and 10
  classes ours is 14 times as large; with a batch of 100 their hidden gradients, sums, are still 7
  times as large as ours at the same weights.
* ``loss=binary_cross_entropy``, and Nesterov's momentum of 0.9, are its defaults; ours are the
  softmax's cross-entropy and plain momentum.

Binary weights and activations are in :mod:`trainfit.algorithms.feedback.net`.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.feedback.net import FeedbackNet
from trainfit.algorithms.feedback.options import (
    DFA,
    DRTP,
    DfaOptions,
    ErrorSignal,
    FeedbackOptions,
    HiddenGradient,
)
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.activations import Hidden
from trainfit.algorithms.numerics.losses import terms
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import phase


class Drtp(FeedbackNet[FeedbackOptions], about=DRTP):
    """Each layer updated on the way forward, from the label alone."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer."""
        self._optimiser.begin_step()
        with torch.no_grad():
            below: Hidden = x
            for number, feedback_CO in enumerate(self._feedback_CO, start=1):
                with phase("forward"):
                    h = self._hidden(below, number)
                with phase("gradient"):
                    dz_BO = feedback_CO.index_select(0, y).mul_(-self._hidden_weight(len(x)))
                    self._through(dz_BO, h)
                self._apply(number, dz_BO, below)
                del dz_BO
                below = h
                del h
            error_BC = self._classify(below, y)
            self._apply(len(self.model.layers), error_BC, below)


class Dfa(FeedbackNet[DfaOptions], about=DFA):
    """All layers updated after the forward pass, each from the error at the output."""

    def __init__(self, model: Mlp, options: DfaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._activation = options.activation

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer; the last ones first, so that their inputs can be freed."""
        self._optimiser.begin_step()
        with torch.no_grad():
            kept: list[Hidden] = [x]
            with phase("forward"):
                for number in range(1, len(self.model.layers)):
                    kept.append(self._hidden(kept[-1], number))
            error_BC = self._classify(kept[-1], y)
            with phase("gradient"):
                own_BC = error_BC.clone() if self._bits else error_BC  # takes the scale of bits
            self._apply(len(self.model.layers), own_BC, kept[-1])
            del own_BC
            with phase("gradient"):
                self._make_signal_(error_BC)
            for number in range(len(self.model.hidden), 0, -1):
                h = kept.pop()
                with phase("gradient"):
                    dz_BO = self._through(error_BC @ self._feedback_CO[number - 1], h)
                del h
                self._apply(number, dz_BO, kept[-1])
                del dz_BO

    def _make_signal_(self, error_BC: torch.Tensor) -> None:
        """Turn the gradient of the logits into the signal of the hidden layers."""
        batch, classes = error_BC.shape
        weight = self._hidden_weight(batch)
        if self.options.signal is ErrorSignal.SIGN:
            error_BC.sign_()
        else:  # it is weighted already, as the loss weights its terms
            weight *= terms(self.options.loss, batch, classes)
        if self._is_weighted:
            error_BC.mul_(weight)

    @property
    def _is_weighted(self) -> bool:
        """Whether the signal has another weight than the error, or its sign, has."""
        mean = self.options.hidden_gradient is HiddenGradient.MEAN
        if self.options.signal is ErrorSignal.SIGN:
            return mean
        return not (mean and self.options.loss is Loss.CROSS_ENTROPY)
