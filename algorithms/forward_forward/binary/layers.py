"""Forward-Forward with binary weights, binary activations, or both.

The form "FF + BW + BA" that TinyFoA is compared with (Huang & Aminifar, AAAI 2025). A layer's
weights are read as ``alpha sign(W)``, its activations are ``s 1[z > 0]``, each with one scale for
the whole tensor; see :mod:`trainfit.algorithms.numerics.binary.activations` for both and their
straight-through gradients. The batch stays real-valued, with rows scaled to a mean square of 1, and
loss, labels, negatives and prediction are those of the float form::

    z_l = alpha_l h_{l-1} W^b_l^T + b_l       h_l = s_l 1[z_l > 0], rows scaled for the next layer
    dz_l = dL/dG 2 s_l 1[0 < z_l < 1]         dW_l = dz_l^T h_{l-1} 1[abs(W_l) < 1]

Between layers there are bits and one float per row; the pre-activation of one layer exists in
float32, since its scale is a mean over all rows of the pass. The cut of dW needs the gradient
itself, so a product cannot go straight into the momentum: gradients are computed and applied for
some units at a time, in the memory freed by the pre-activation. With binary weights all parameters
are clipped to [-1, 1] after each update.

An image's predicted class is the label that gives the largest goodness, summed over all hidden
layers, as in the released code; the classifier, if there is one, reads the same layers as in the
float form. The score of a row depends on the other rows, since they share the scale of activations.

Decisions: weights are initialised as in the float form; the threshold is a mean square of 1 unless
given, as in the released code. A layer cannot reach that within the cut: while abs(z) stays below
1, so does the scale, and half of the units are off. A quarter of it trains better; ``results/``
shows the remaining loss of accuracy.

Exact ties: while the biases are 0, as at the start, sums of signs with one scale cancel, and some
pre-activations are exactly 0 (2.5 % of them in PEPITA's net of the same kind). Here such a unit is
off and passes no gradient. A product of floats, as in TinyFoA's released form, rounds: noise
decides (36.6 % of the ties are positive there), and the first updates differ by 3 to 6 %.

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, J units of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.forward_forward.binary.output import (
    BinaryOutput,
    BitOutput,
    FloatOutput,
    unit_tiles,
)
from trainfit.algorithms.forward_forward.head import Activities
from trainfit.algorithms.forward_forward.objective import Objective, input_scale
from trainfit.algorithms.forward_forward.options import ForwardForwardOptions
from trainfit.algorithms.forward_forward.peers import pull_
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import Hidden, ste_clip_, weight_gradient
from trainfit.algorithms.numerics.binary.weights import linear
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import phase


class BinaryLayers:
    """The hidden layers of ``forward_forward`` with binary ``weights`` or ``activations``.

    Args:
        parameters: Newly drawn ``w1, b1, ...`` of the hidden layers.
        optimiser: The update rule; the parameters are added to it.
        objective: The loss of a layer.
        peers: Running mean activities, with peer normalisation.
        options: Options of the rule.
        judging: Numbers of the layers that the classifier reads, if there is one.

    Attributes:
        layers: All hidden layers.
        bits: Whether activations are binary.
        clip: Whether weights are.
    """

    spare_rows = 0
    """Peers need none: the gradient of z exists, some units at a time."""

    def __init__(
        self,
        parameters: dict[str, torch.Tensor],
        optimiser: Optimiser,
        *,
        objective: Objective,
        peers: list[torch.Tensor],
        options: ForwardForwardOptions,
        judging: range,
    ) -> None:
        self.bits = options.activations is Precision.BINARY
        self.clip = options.weights is Precision.BINARY
        self.layers = [
            BinaryLayer(n, parameters[f"w{n}"], parameters[f"b{n}"], groups=1, binary=self.clip)
            for n in range(1, len(parameters) // 2 + 1)
        ]
        for layer in self.layers:
            layer.add_to(optimiser)
        self._optimiser = optimiser
        self._objective = objective
        self._peers = peers
        self._peer = options.peer
        self._judging = judging

    def train_layers(
        self, held: list[torch.Tensor], suffix: str, batch: int, *, positive: bool | None
    ) -> None:
        """Train every layer during the pass; see the float form for the arguments."""
        row_R = held.pop() if len(held) > 1 else None
        h: Hidden = held.pop()
        for layer in self.layers:
            with phase(f"forward{suffix}"):
                output = self._output(layer, h, row_R)
            with phase(f"gradient{suffix}"):
                factor_R = output.factors(self._objective, batch, positive)
                pull_O = None
                if self._peers and positive is not False:
                    pull_O = self._pull(layer.number, output, batch)
            for units in unit_tiles(
                len(factor_R), layer.weights.inputs, layer.weights.outputs, bits=self.bits
            ):
                with phase(f"gradient{suffix}"):
                    dz_RJ = output.gradient(units, factor_R)
                    if pull_O is not None:
                        dz_RJ[:batch].add_(pull_O[units])
                    gradients = self._gradients(layer, units, dz_RJ, h, row_R)
                    del dz_RJ
                with phase(f"update{suffix}"):
                    self._update(layer, units, *gradients)
                    del gradients
            del factor_R, pull_O
            row_R = None
            with phase(f"update{suffix}"):
                if self.clip:
                    layer.clip()
            with phase(f"forward{suffix}"):
                h = output.normalised()
                del output

    def _output(
        self, layer: BinaryLayer, h: Hidden, row_R: torch.Tensor | None, *, mask: bool = True
    ) -> BinaryOutput:
        """Activations of a layer; ``row_R`` are factors of the input's rows, not yet applied."""
        scale = layer.weights.scale()
        if row_R is not None:
            scale = row_R[:, None] if scale is None else row_R[:, None] * scale
        z_RO = linear(h, layer.weights, layer.bias_O, scale)
        return BitOutput(z_RO, mask=mask) if self.bits else FloatOutput(z_RO)

    def _pull(self, number: int, output: BinaryOutput, batch: int) -> torch.Tensor:
        return pull_(output.mean(batch), self._peers[number - 1], self._peer, batch)

    def _gradients(
        self,
        layer: BinaryLayer,
        units: slice,
        dz_RJ: torch.Tensor,
        h: Hidden,
        row_R: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of some units' weights and biases; ``dz_RJ`` is overwritten."""
        db_J = dz_RJ.sum(0)
        if row_R is not None:
            dz_RJ.mul_(row_R[:, None])
        dw_JI = weight_gradient(dz_RJ, h, 0, layer.weights.inputs)
        if layer.weights.binary:
            ste_clip_(dw_JI, layer.weight_JK[units])
        return dw_JI, db_J

    def _update(
        self, layer: BinaryLayer, units: slice, dw_JI: torch.Tensor, db_J: torch.Tensor
    ) -> None:
        self._optimiser.apply_rows(f"b{layer.number}", layer.bias, db_J, units)
        self._optimiser.apply_rows(f"w{layer.number}", layer.weight_JK, dw_JI, units)

    # ---- prediction -------------------------------------------------------------------------

    def activities(self, x_BI: torch.Tensor) -> Activities:
        """Normalised output of every layer that the classifier reads."""
        activities: Activities = {}
        h: Hidden = x_BI
        row_B: torch.Tensor | None = input_scale(x_BI)
        for layer in self.layers:
            h = self._output(layer, h, row_B, mask=False).normalised()
            row_B = None
            if layer.number in self._judging:
                activities[layer.number] = h
        return activities

    def goodness(self, x_BI: torch.Tensor) -> torch.Tensor:
        """Sum over all layers, shape (B,)."""
        total_B = torch.zeros(len(x_BI))
        h: Hidden = x_BI
        row_B: torch.Tensor | None = input_scale(x_BI)
        for layer in self.layers:
            output = self._output(layer, h, row_B, mask=False)
            row_B = None
            total_B += output.squares() * self._objective.share(layer.weights.outputs)
            h = output.normalised()
        return total_B

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Latent weights and biases."""
        for layer in self.layers:
            yield from layer.static_tensors()
