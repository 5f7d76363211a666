"""FF-INT8 on nets of units: every unit but the classifier learns from its goodness, by INT8.

Right and wrong labels are one batch, told as pixels or as a plane, as on units in float32
(:mod:`trainfit.algorithms.forward_forward.units`). With y a unit's output, its samples are scaled
to a mean square of 1, rounded, and go to the next unit; the same integers give the gradient::

    (q, s) = Q(y / r)     r_n = |y_n| / sqrt(n)     dL/dy_n = factor_n r_n s q_n

with n values per sample and ``factor`` from :mod:`trainfit.algorithms.forward_forward.objective`.
From there the gradient goes back within the unit. Its convolutions and dense layers multiply INT8,
with one scale per tensor; what is between them is in float32 and keeps INT8
(:mod:`trainfit.algorithms.blocks.int8.making`).

Decisions. The samples of a tensor share a scale, as they have one mean square. The rate is divided
by the features of a unit's input, as it is by the inputs of a layer. Labelled samples are float32,
and so are gradients of activations, one or with ``lookahead=true`` three at a time.

Both forms of look-ahead are those of :mod:`trainfit.algorithms.ff_int8.lookahead`, with units in
the place of layers: with ``detached`` the goodness of later units is a constant in the factor; with
``true`` a unit gets ``e = dL/dy + J^T e`` of the units above, and learns from ``dL/dy + lambda J^T
e``, so that all but the first and the last are gone through twice on the way back.

Shape suffixes: N samples, R rows of both passes (2 N), K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.making import in_int8
from trainfit.algorithms.blocks.int8.weight import Unmoved
from trainfit.algorithms.blocks.learning import ByRows
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.ff_int8.options import (
    FF_INT8,
    FfInt8Options,
    Lookahead,
    Master,
    check_together,
)
from trainfit.algorithms.forward_forward.labels import random_wrong_labels
from trainfit.algorithms.forward_forward.maps import LabelledMaps, check_room_in_maps
from trainfit.algorithms.forward_forward.objective import EPSILON, Objective, normalise_
from trainfit.algorithms.forward_forward.options import Labels, Loss
from trainfit.algorithms.models import UnitNet
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.int8.quantise import draw_seed
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class _Output(NamedTuple):
    """A unit's output with samples of a mean square of 1, and what their squares summed up to."""

    unit: Quantised
    squares_R: torch.Tensor

    @property
    def width(self) -> int:
        """Values of a sample."""
        return self.unit.q[0].numel()

    def as_map(self) -> torch.Tensor:
        """The input of the next unit, float32."""
        return self.unit.q.to(torch.float32).mul_(self.unit.scale)

    def times(self, factors_R: torch.Tensor) -> torch.Tensor:
        """The output itself, every sample times its factor; these are overwritten."""
        factors_R.mul_(self.squares_R.sqrt().mul_(self.width**-0.5)).mul_(self.unit.scale)
        flat = self.unit.q.flatten(1).to(torch.float32)
        return flat.mul_(factors_R[:, None]).view(self.unit.q.shape)

    def through_(self, d: torch.Tensor) -> torch.Tensor:
        """``(d - y^ <d, y^> / n) / r`` in place: a gradient of the scaled output, of the output."""
        d_RF, q_RF = d.view(len(d), -1), self.unit.q.flatten(1)
        for rows in in_tiles(len(d_RF), tile_height(*d_RF.shape)):
            own = tag(q_RF[rows].to(torch.float32), Category.WORKSPACE, "tile of integers")
            own.mul_(self.unit.scale)
            both = tag((own * d_RF[rows]).sum(1), Category.WORKSPACE, "products")
            d_RF[rows].sub_(own.mul_(both.mul_(1.0 / self.width)[:, None]))
            del own, both  # otherwise two tiles would be alive in the next iteration
        lengths_R = tag(self.squares_R.sqrt(), Category.WORKSPACE, "lengths")
        lengths_R.add_(EPSILON).reciprocal_().mul_(self.width**0.5)
        d_RF.mul_(lengths_R[:, None])
        return d


class FfInt8OnUnits(Algorithm[FfInt8Options], about=FF_INT8):
    """Units trained by their goodness, with INT8 products."""

    models = (UnitNet,)
    model: UnitNet

    def __init__(self, model: UnitNet, options: FfInt8Options, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_together(options)
        _check(model, options)
        self._arithmetic = Arithmetic(
            options.kernel,
            activations=options.rounding,
            gradients=options.rounding,
            weights=Rounding.STOCHASTIC,
        )
        make = in_int8(self._arithmetic, latent=options.master is Master.FP32)
        planes = int(options.labels is Labels.PLANE)
        count = len(model.units) - 1
        self._units = Units(model, self.generator, count, planes=planes, make=make)
        self._labelled = LabelledMaps(model, options.labels, options.label_scale, self.generator)
        how: Any = {"weight_decay": options.weight_decay, "nesterov": options.nesterov}
        self._optimiser = Sgd(options.lr, options.momentum, **how)
        self._units.add_to(self._optimiser)
        self._objective = Objective(options.goodness, Loss.LOGISTIC, options.threshold, scale=1.0)
        self._inputs = [prod(shape) for shape in model.given[:count]]
        self._inputs[0] += planes * prod(model.shape[1:])
        self._rate, self._weight = options.lr, 0.0

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate and the weight of later units."""
        super().begin_epoch(epoch, epochs)
        self._rate = self.options.lr * rate_factor(self.options.decay, epoch, epochs)
        self._weight = self.options.lookahead_step * epoch

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, 2 * batch_size)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every unit from true and wrong labels."""
        self._optimiser.begin_step()
        with torch.no_grad():
            with phase("forward"):
                self._arithmetic.begin_step(draw_seed(self.generator))
                wrong_N = random_wrong_labels(y, self.model.classes, self.generator)
                passed = [self._labelled.write(x, y, wrong_N)]
                del wrong_N
            match self.options.lookahead:
                case Lookahead.OFF:
                    self._one_by_one(passed)
                case Lookahead.DETACHED:
                    self._with_later_goodness(passed)
                case Lookahead.TRUE:
                    self._with_later_gradients(passed)

    def _one_by_one(self, passed: list[torch.Tensor]) -> None:
        """Update every unit on the way forward; its input is taken out of ``passed``."""
        for place in range(len(self._units.chains)):
            tape: Tape = []
            with phase("forward"):
                out = self._output(place, passed.pop(), tape)
            with phase("gradient"):
                factors_R = self._factors(out, out.squares_R.clone())
                tape.append(out.times(factors_R))
                del factors_R
            self._learn(place, tape)
            if place < len(self._units.chains) - 1:
                with phase("forward"):
                    passed.append(out.as_map())
            del out

    def _all_outputs(self, passed: list[torch.Tensor]) -> tuple[list[_Output], list[Tape]]:
        """Outputs and tapes of all units; the input is taken out of ``passed``."""
        outputs: list[_Output] = []
        tapes: list[Tape] = []
        last = len(self._units.chains) - 1
        with phase("forward"):
            for place in range(last + 1):
                tapes.append([])
                outputs.append(self._output(place, passed.pop(), tapes[-1]))
                if place < last:
                    passed.append(outputs[-1].as_map())
        return outputs, tapes

    def _with_later_goodness(self, passed: list[torch.Tensor]) -> None:
        """Update all units, the last one first, with the later ones' goodness as a constant."""
        outputs, tapes = self._all_outputs(passed)
        with phase("gradient"):
            later_R = torch.zeros_like(outputs[-1].squares_R)
        for place in reversed(range(len(self._units.chains))):
            out, tape = outputs.pop(), tapes.pop()
            share = self._objective.share(out.width)
            with phase("gradient"):
                factors_R = torch.add(out.squares_R, later_R, alpha=self._weight / share)
                later_R.add_(out.squares_R, alpha=share).sub_(self._objective.theta(out.width))
                tape.append(out.times(self._factors(out, factors_R)))
                del factors_R, out
            self._learn(place, tape)

    def _with_later_gradients(self, passed: list[torch.Tensor]) -> None:
        """Update all units, the last one first, each with the gradient of the later losses too.

        A unit is updated after the gradient has gone through its weights.
        """
        outputs, tapes = self._all_outputs(passed)
        last = len(self._units.chains) - 1
        below: list[torch.Tensor] = []
        for place in reversed(range(last + 1)):
            out, tape = outputs.pop(), tapes.pop()
            with phase("gradient"):
                own = out.times(self._factors(out, out.squares_R.clone()))
            if place == last:  # which learns from what it passes down
                tape.append(own)
                del own, out
                self._learn(place, tape, to_input=place > 0)
                below += tape
            else:
                with phase("gradient"):
                    later = out.through_(below.pop())
                    g = torch.add(own, later, alpha=self._weight)
                    own.add_(later)
                    del later, out
                if place:
                    below.append(self._of_input(place, [*tape, own]))
                del own
                tape.append(g)
                del g
                self._learn(place, tape)
            del tape

    def _of_input(self, place: int, tape: Tape) -> torch.Tensor:
        """The gradient of a unit's input from that at the end of the tape; nothing learns."""
        self._units.chains[place].backward(tape, Unmoved(self._optimiser), to_input=True)
        dx: torch.Tensor = tape.pop()
        return dx

    def _output(self, place: int, h: torch.Tensor, tape: Tape) -> _Output:
        """What a unit makes of its input."""
        passed, way = [h], Pass(tape, Statistics.BATCH)
        del h
        return self._rounded(self._units.chains[place].forward(passed.pop(), way), way)

    def _rounded(self, h: torch.Tensor, way: Pass) -> _Output:
        """Samples scaled to a mean square of 1, in place, and rounded."""
        flat = h.view(len(h), -1)
        length_R = torch.linalg.vector_norm(flat, dim=1)
        squares_R = length_R * length_R
        normalise_(flat, length_R)
        del length_R
        return _Output(self._arithmetic.activations(h, way), squares_R)

    def _factors(self, out: _Output, squares_R: torch.Tensor) -> torch.Tensor:
        """``dL/dy = factor y``, in place of the squares that the logistic function is given."""
        return self._objective.factors_(squares_R, out.width, len(squares_R) // 2, None)

    def _learn(self, place: int, tape: Tape, *, to_input: bool = False) -> None:
        """Update a unit by the gradient at the end of its tape; that of its input may follow."""
        self._optimiser.lr = self._rate / self._inputs[place]
        self._units.chains[place].backward(tape, ByRows(self._optimiser), to_input=to_input)

    # ---- prediction, and what is kept -------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Goodness summed over all units, with each label told in turn."""
        scores_NK = torch.zeros(len(x), self.model.classes)
        way = Pass(None, Statistics.RUNNING)
        with torch.no_grad():
            for label in range(self.model.classes):
                h = self._labelled.write(x, torch.full((len(x),), label))
                for chain in self._units.chains:
                    out = self._rounded(chain.forward(h, way), way)
                    share = self._objective.share(out.width)
                    scores_NK[:, label].add_(out.squares_R, alpha=share)
                    h = out.as_map()
        return scores_NK

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Units and momentum, and the patterns of a plane."""
        yield from self._units.static_tensors(self._optimiser)
        if self._labelled.patterns_KHW is not None:
            yield StaticTensor("patterns", self._labelled.patterns_KHW, Category.BUFFERS)


def _check(model: UnitNet, options: FfInt8Options) -> None:
    """Refuse what is there for fully connected nets only, or for no net.

    Raises:
        ConfigurationError: The message names the option.
    """
    check_room_in_maps("ff_int8", model, options.labels)
    if options.labels is Labels.CHANNELS:
        raise ConfigurationError(
            "ff_int8 learns from right and wrong labels, which labels=channels has not; use"
            " labels=pixels or labels=plane, or forward_forward with labels=channels"
        )
