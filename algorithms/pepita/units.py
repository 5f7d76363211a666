"""PEPITA and MEM-PEPITA on nets of units.

As on a fully connected net, the standard pass gives the outputs h_l of all layers and the error e,
the modulated pass starts from x + F e, with F as large as a whole sample. Of a layer with P
positions (1 if it is dense)::

    dW_l = sum over positions of (h_l - h'_l) window(h'_{l-1}) / (N P)
    db_l = sum over positions of (h_l - h'_l) / (N P)
    dW_L = e'^T h'_{L-1} / N      db_L = sum e' / N      classifier

which is what ``convolution_backward`` makes of the difference of both passes, in the place of a
gradient, and the modulated pass's input. ``positions=sum`` does not divide by P.

* ``pepita`` (Dellaferrera & Kreiman, ICML 2022, arXiv 2201.11665) keeps the h_l.
* ``mem_pepita`` (Pau & Aymone, COINS 2023) goes through the standard pass once more beside the
  modulated one, layer by layer, each with its weights before the update. The difference overwrites
  h_l, which is restored for the next layer, up to rounding.

Which layers there are is said in :mod:`trainfit.algorithms.pepita.layers`. Decisions, where the
authors' convolutional nets (one convolution, a max pool, a dense layer, no biases) say nothing:

* h_l is the output of a layer's activation, before any pool, as in their code. Where a layer has no
  activation of its own, as the last one of a residual block's body and that of a shortcut, h_l is
  its own output, before the sum. What is between layers has no part in the equations.
* A bias is the weight of an input that is always 1.
* Batch normalisation is folded, as in Pau & Aymone's count, which has none: it normalises by its
  running statistics, which no step moves, and keeps nothing. Its gain is not trained, its shift is
  the layer's bias, and a bias before it is frozen. Those of a new net are 0 and 1: such a net is
  one without normalisation.
* Nothing is dropped: in their code, convolutional nets take no masks.
* The classifier learns from e', as ever; in their code, where it is the only dense layer behind
  convolutions, from e, which is ``output_error=standard``.
* Dense weights are drawn U(+-sqrt(6/I)), as in a fully connected net, with biases of 0;
  convolutions with the same variance.
* A mean over positions, as in their code, which divides by the batch twice; here it is once, and
  their second division a matter of the rate. A sum needs a rate that suits the largest map.
* Squeeze-and-excitation is refused: it multiplies what two ways give, and the equations are of
  layers one after the other. Pau & Aymone count a net with sums.

Shape suffixes: N batch, I values of a sample, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch

from trainfit.algorithms.blocks.float32.dense import DenseBlock
from trainfit.algorithms.blocks.learning import AtOnce, Learner
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Model, UnitNet
from trainfit.algorithms.nets.units import Units
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Precision
from trainfit.algorithms.pepita.layers import (
    ONLY,
    Part,
    Sum,
    Weighted,
    keeping,
    parts_of,
    positions,
    weighted,
)
from trainfit.algorithms.pepita.options import (
    MEM_PEPITA,
    PEPITA,
    OutputError,
    PepitaOptions,
    Positions,
)
from trainfit.algorithms.phases import Category, phase, tag


class _Place:
    """Where both passes are in a net.

    Attributes:
        h: Of the standard pass; None where it does not go along.
        m: Of the modulated pass.
    """

    def __init__(self, h: torch.Tensor | None, m: torch.Tensor) -> None:
        self.h, self.m = h, m

    def take(self) -> torch.Tensor:
        """``h``, of which no reference is left here."""
        h, self.h = self.h, None
        assert h is not None
        return h


class PepitaRuleOnUnits(Algorithm[PepitaOptions]):
    """The step, except for where the standard pass's outputs come from."""

    models: ClassVar[tuple[type[Model], ...]] = (UnitNet,)
    model: UnitNet
    _repeats: ClassVar[bool]

    def __init__(self, model: UnitNet, options: PepitaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        _refuse_options_of_layers(self.name, model, options)
        self._units = Units(model, self.generator)
        self._parts = parts_of(self._units, model.name, self.name)
        layers = weighted(self._parts)
        for layer in layers:
            if isinstance(layer.block, DenseBlock):
                _draw_(layer.block)
        self._hidden = len(layers) - 1
        trained = {name: tensor for layer in layers for name, tensor in layer.trained()}
        self._units.train_only(trained)
        self._optimiser = optimiser_of(options)
        for name, tensor in trained.items():
            self._optimiser.add(name, tensor)
        bound = options.feedback_scale * math.sqrt(6.0 / model.inputs)
        self._feedback_CI = torch.empty(model.classes, model.inputs)
        self._feedback_CI.uniform_(-bound, bound, generator=self.generator)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer, during the modulated pass."""
        self._optimiser.begin_step()
        learner, kept = AtOnce(self._optimiser), list[torch.Tensor]()
        *hidden, classifier = self._parts
        assert isinstance(classifier, Weighted)
        with torch.no_grad():
            with phase("forward.standard"):
                error_NC = self._first_pass(x, kept)
            with phase("gradient"):
                cross_entropy_error_(error_NC, y)  # divided by N
            with phase("forward.modulated"):
                x_NI = torch.addmm(x, error_NC, self._feedback_CI, alpha=len(x))
                tag(x_NI, Category.INPUTS, "modulated input")
                again = self._units.as_map(x) if self._repeats else None
                place = _Place(again, self._units.as_map(x_NI))
                del x_NI, again
            if self.options.output_error is OutputError.MODULATED:
                del error_NC
            self._learn_in(hidden, place, kept, learner, left=self._hidden)
            if self.options.output_error is OutputError.MODULATED:
                with phase("forward.modulated"):
                    error_NC = classifier.forward(place.m)
                with phase("gradient"):
                    cross_entropy_error_(error_NC, y)
            classifier.learn(place.m, error_NC, learner)

    def _learn_in(
        self,
        parts: Sequence[Part],
        place: _Place,
        kept: list[torch.Tensor],
        learner: Learner,
        *,
        left: int,
    ) -> int:
        """Go through some parts and update their layers.

        Args:
            parts: In order.
            place: Before them, then behind them.
            kept: What :meth:`_first_pass` kept.
            learner: Applies the updates.
            left: Layers before the classifier that are not yet updated.

        Returns:
            How many are left then. With none left, the standard pass goes no further.
        """
        for part in parts:
            if isinstance(part, Weighted):
                left -= 1
                self._learn(part, place, kept, learner, goes_on=left > 0)
            elif isinstance(part, Sum):
                body = _Place(place.h, place.m)
                left = self._learn_in(part.body, body, kept, learner, left=left)
                left = self._learn_in(part.past, place, kept, learner, left=left)
                with phase("forward.modulated"):
                    place.m = body.m.add_(place.m)
                if body.h is None or not left:
                    place.h = None
                elif place.h is not None:
                    with phase("forward.repeated"):
                        place.h = body.h.add_(place.h)
            else:
                with phase("forward.modulated"):
                    place.m = part.forward(place.m, ONLY)
                if place.h is not None:
                    with phase("forward.repeated"):
                        place.h = part.forward(place.h, ONLY)
        return left

    def _learn(
        self,
        layer: Weighted,
        place: _Place,
        kept: list[torch.Tensor],
        learner: Learner,
        *,
        goes_on: bool,
    ) -> None:
        """Update a layer from its outputs of both passes."""
        repeated = place.h is not None
        if repeated:
            with phase("forward.repeated"):
                h = layer.forward(place.take())
        else:
            h = kept.pop(0)
        with phase("forward.modulated"):
            m = layer.forward(place.m)
        over = len(h) * (positions(h) if self.options.positions is Positions.MEAN else 1)
        with phase("gradient"):
            h.sub_(m).mul_(1.0 / over)
        layer.learn(place.m, h, learner)
        place.m = m
        if repeated and goes_on:
            with phase("forward.repeated"):
                place.h = h.mul_(over).add_(m)

    # ---- the standard pass ------------------------------------------------------------------

    def _first_pass(self, x: torch.Tensor, kept: list[torch.Tensor]) -> torch.Tensor:
        """Logits (N, C); ``kept`` gets the outputs of all layers before the classifier."""
        if self._repeats:
            return self._units.forward(x, ONLY)
        *hidden, classifier = self._parts
        assert isinstance(classifier, Weighted)
        return classifier.forward(keeping(hidden, self._units.as_map(x), kept))

    # ---- prediction, and what is kept -------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self._units.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, running statistics, optimiser state and F."""
        yield from self._units.static_tensors(self._optimiser)
        yield StaticTensor("feedback", self._feedback_CI, Category.BUFFERS)


class PepitaOnUnits(PepitaRuleOnUnits, about=PEPITA):
    """PEPITA that keeps the outputs of the standard pass."""

    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        "forward.standard",
        "forward.modulated",
    )
    _repeats = False


class MemPepitaOnUnits(PepitaRuleOnUnits, about=MEM_PEPITA):
    """PEPITA that computes the outputs of the standard pass again, layer by layer."""

    phases: ClassVar[tuple[str, ...]] = (*PepitaOnUnits.phases, "forward.repeated")
    _repeats = True


def _draw_(block: DenseBlock) -> None:
    """U(+-1/sqrt(I)) becomes U(+-sqrt(6/I)), and biases become 0."""
    block.weight_OC.mul_(math.sqrt(6.0))
    if block.bias_O is not None:
        block.bias_O.zero_()


def _refuse_options_of_layers(rule: str, model: UnitNet, options: PepitaOptions) -> None:
    """Refuse what is there for fully connected nets only.

    Raises:
        ConfigurationError: The message names the option.
    """
    dropped = options.keep not in {1.0, PepitaOptions.model_fields["keep"].default}
    for name, is_set, instead in (
        ("keep", dropped, "nothing is dropped between units"),
        ("weights", options.weights is not Precision.FLOAT, "its weights are floats"),
        ("activations", options.activations is not Precision.FLOAT, "its activations are floats"),
    ):
        if is_set:
            raise ConfigurationError(
                f"option {name!r} of {rule} is for fully connected nets, {model.name!r} is"
                f" {model.kind}: {instead}; leave it out"
            )
