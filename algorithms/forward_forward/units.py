"""Forward-Forward on nets of units: every unit but the classifier learns from its own goodness.

How a sample's label is told (``labels``):

``pixels``    written over the first values of the sample, as in a fully connected net; right and
              wrong labels are two passes, and each label a pass in prediction.
``plane``     the same, as a channel more of the input: a pattern of signs per class, drawn once.
``channels``  not told. A unit's channels belong to the classes in turn, C / K for each of K, and a
              unit learns from the cross-entropy of its goodness per class; there is one pass, with
              no negative samples, and one in prediction (CwC, Papachristodoulou et al., AAAI 2024;
              DeeperForward, ICLR 2025).

With G a sum or mean over all of a unit's output h, or over those of a class k::

    pixels, plane    dL/dh = h dL/dG             see forward_forward.objective
    channels         L = -log softmax(G)_y       dL/dh_k = 2 h_k (softmax(G) - y*)_k / (N n)

with n values of a class. ``goodness=relu_mean``, the mean of h itself, is DeeperForward's: there
``dL/dh_k`` is the same for all values of a class. From there the gradient goes back within the
unit, to its input at most; then the samples of its output are scaled to a mean square of 1 for the
next unit.

``weights=binary`` and ``activations=binary`` train the layers that TinyFoA trains, all of a unit at
once (:mod:`trainfit.algorithms.tinyfoa.described.units` has their equations).

Decisions. With ``passes=sequential`` batch normalisation sees right and wrong labels apart, and a
unit that ends with it cannot tell them by their mean square: ``joint`` is the form for such nets.
The score is the goodness of all units but the first. The classifier of the net is not used.

Shape suffixes: N rows of a pass, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.learning import AtOnce
from trainfit.algorithms.blocks.sliced.making import Sliced
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.forward_forward.labels import random_wrong_labels
from trainfit.algorithms.forward_forward.maps import LabelledMaps, check_room_in_maps, normalised_
from trainfit.algorithms.forward_forward.objective import Objective
from trainfit.algorithms.forward_forward.options import (
    FORWARD_FORWARD,
    ForwardForwardOptions,
    Goodness,
    Labels,
    Passes,
    check_together,
)
from trainfit.algorithms.models import Model, UnitNet
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase


class ForwardForwardOnUnits(Algorithm[ForwardForwardOptions], about=FORWARD_FORWARD):
    """Units trained by their goodness."""

    models: ClassVar[tuple[type[Model], ...]] = (UnitNet,)
    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        "forward.positive",
        "forward.negative",
    )
    model: UnitNet

    def __init__(self, model: UnitNet, options: ForwardForwardOptions, *, seed: int = 0) -> None:
        check_together(options)
        super().__init__(model, options, seed=seed)
        _refuse_options_of_layers(model, options)
        _check_room(model, options.labels)
        self._optimiser = optimiser_of(options)
        has_plane = options.labels is Labels.PLANE
        in_bits = Sliced(
            weights=options.weights is Precision.BINARY,
            activations=options.activations is Precision.BINARY,
        )
        self._units = Units(
            model,
            self.generator,
            len(model.units) - 1,
            planes=int(has_plane),
            make=in_bits if options.binarised else None,
        )
        if options.binarised:
            self._units.train_whole(apart=True)
        self._units.add_to(self._optimiser)
        self._labelled = LabelledMaps(model, options.labels, options.label_scale, self.generator)
        self._objective = Objective(
            options.goodness, options.loss, options.threshold, options.symba_scale
        )

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, batch_size)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every unit, or one from the true and one from wrong labels."""
        with torch.no_grad():
            if self.options.labels is Labels.CHANNELS:
                self._train([self._units.as_map(x)], y, "")
            elif self.options.passes is Passes.JOINT:
                with phase("forward"):
                    wrong_N = random_wrong_labels(y, self.model.classes, self.generator)
                    passed = [self._labelled.write(x, y, wrong_N)]
                    del wrong_N
                self._train(passed, y, "", positive=None)
            else:
                with phase("forward.positive"):
                    passed = [self._labelled.write(x, y)]
                self._train(passed, y, ".positive", positive=True)
                with phase("forward.negative"):
                    wrong_N = random_wrong_labels(y, self.model.classes, self.generator)
                    passed = [self._labelled.write(x, wrong_N)]
                    del wrong_N
                self._train(passed, y, ".negative", positive=False)

    def _train(
        self,
        passed: list[torch.Tensor],
        y_N: torch.Tensor,
        suffix: str,
        *,
        positive: bool | None = None,
    ) -> None:
        """One pass through all units, each updated during the pass.

        Args:
            passed: The input of the first unit, which is taken out.
            y_N: The true labels.
            suffix: Of the name of the forward phase.
            positive: Whether the labels that were told are right; None for both, the right ones
                first, or if none were told.
        """
        self._optimiser.begin_step()
        learner = AtOnce(self._optimiser)
        for place, chain in enumerate(self._units.chains):
            tape: Tape = []
            with phase(f"forward{suffix}"):
                h = chain.forward(passed.pop(), Pass(tape, Statistics.BATCH))
            with phase("gradient"):
                tape.append(self._gradient(h, y_N, positive))
            chain.backward(tape, learner, to_input=False)
            if place < len(self._units.chains) - 1:
                with phase(f"forward{suffix}"):
                    passed.append(normalised_(h))
            del h

    def _gradient(self, h: torch.Tensor, y_N: torch.Tensor, positive: bool | None) -> torch.Tensor:
        """Of a unit's output."""
        if self.options.labels is Labels.CHANNELS:
            error_NK = cross_entropy_error_(self._per_class(h), y_N)
            size = h[0].numel() // self.model.classes
            if self.options.goodness is Goodness.RELU_MEAN:
                alike = error_NK.mul_(1.0 / size)[:, :, None].expand(-1, -1, size)
                return alike.reshape(h.shape)
            share = 1.0 / size if self.options.goodness is Goodness.MEAN else 1.0
            factor_NK = error_NK.mul_(2.0 * share)
            return (h.view(*factor_NK.shape, -1) * factor_NK[:, :, None]).view(h.shape)
        flat = h.flatten(1)
        squares_N = torch.linalg.vector_norm(flat, dim=1).square_()
        factor_N = self._objective.factors_(squares_N, flat.shape[1], len(y_N), positive)
        return (flat * factor_N[:, None]).view(h.shape)

    def _per_class(self, h: torch.Tensor) -> torch.Tensor:
        """Goodness (N, K) of every class's channels."""
        parts = h.view(len(h), self.model.classes, -1)
        if self.options.goodness is Goodness.RELU_MEAN:
            return parts.mean(2)
        goodness_NK: torch.Tensor = torch.linalg.vector_norm(parts, dim=2).square_()
        size = parts.shape[2]
        return goodness_NK.mul_(1.0 / size if self.options.goodness is Goodness.MEAN else 1.0)

    # ---- prediction, and what is kept -------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Goodness of all units but the first, per class or with each label in turn."""
        with torch.no_grad():
            if self.options.labels is Labels.CHANNELS:
                return self._goodness(self._units.as_map(x), per_class=True)
            scores_NK = torch.empty(len(x), self.model.classes)
            for label in range(self.model.classes):
                y_N = torch.full((len(x),), label)
                scores_NK[:, label] = self._goodness(self._labelled.write(x, y_N), per_class=False)
            return scores_NK

    def _goodness(self, h: torch.Tensor, *, per_class: bool) -> torch.Tensor:
        way, chains = Pass(None, Statistics.RUNNING), self._units.chains
        first = min(1, len(chains) - 1)
        found = []
        for place, chain in enumerate(chains):
            h = chain.forward(h, way)
            if place >= first:
                flat = h.flatten(1)
                share = self._objective.share(flat.shape[1])
                squares_N = torch.linalg.vector_norm(flat, dim=1).square_().mul_(share)
                found.append(self._per_class(h) if per_class else squares_N)
            h = normalised_(h)
        return torch.stack(found).sum(0)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Units and optimiser state, and the patterns of a plane."""
        yield from self._units.static_tensors(self._optimiser)
        if self._labelled.patterns_KHW is not None:
            yield StaticTensor("patterns", self._labelled.patterns_KHW, Category.BUFFERS)


def _refuse_options_of_layers(model: UnitNet, options: ForwardForwardOptions) -> None:
    """Refuse what is there for fully connected nets only.

    Raises:
        ConfigurationError: The message names the option.
    """
    defaults = ForwardForwardOptions.model_fields
    for name in (
        "implementation",
        "negatives",
        "score",
        "head_lr",
        "head_weight_decay",
        "peer",
        "init",
    ):
        if getattr(options, name) != defaults[name].default:
            raise ConfigurationError(
                f"option {name!r} of forward_forward is for fully connected nets, {model.name!r}"
                f" is {model.kind}; leave it out"
            )


def _check_room(model: UnitNet, labels: Labels) -> None:
    """Refuse a net with no unit to train, or in which labels have no room.

    Raises:
        ConfigurationError: The message says what would do.
    """
    check_room_in_maps("forward_forward", model, labels)
    if labels is not Labels.CHANNELS:
        return
    for unit, shape in zip(model.units[:-1], model.outputs[:-1], strict=True):
        if shape[0] % model.classes:
            raise ConfigurationError(
                f"forward_forward with labels=channels gives every class as many channels, but"
                f" unit {unit.name} of {model.name!r} has {shape[0]} for {model.classes} classes;"
                f" use multiples of {model.classes}, for instance"
                f" cnn-{'x'.join(map(str, model.shape))}-c{2 * model.classes}-{model.classes}, or"
                " labels=plane"
            )
