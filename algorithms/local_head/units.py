"""Local heads on nets of units: every unit but the classifier learns from a head of its own.

A head sees the unit's output, averaged over windows until it has at most ``head_features`` values,
as in Local Error Signals (Nokland & Eidnes 2019)::

    h_u = unit(h_{u-1})    f = pool(h_u)    a = v f + c    e = (softmax(a) - y*) / N
    dh_u = pool^T(v^T e)   and backwards within the unit    dv = e f^T

The gradient ends at the unit's input. As on layers, the classifier of the net is the head of the
last unit, whose output it sees whole, and a unit is updated before the next one is gone through.
Batch normalisation is the units' own.

With ``schedule=greedy`` a stage trains one unit; those below run as in prediction.

Shape suffixes: N batch, C classes, F features that a head sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.pool import PoolBlock
from trainfit.algorithms.blocks.learning import AtOnce, Learner
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.local_head.heads import draw_head, draw_trained_head
from trainfit.algorithms.local_head.options import (
    LOCAL_HEAD,
    Head,
    LocalHeadOptions,
    Predict,
    Schedule,
    check_together,
)
from trainfit.algorithms.models import Model, Shape, UnitNet
from trainfit.algorithms.nets.head_pool import pool_to
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.phases import Category, phase


@dataclass(frozen=True)
class _UnitHead:
    """A pool, weights ``v_CF``, and a bias if the head is trained."""

    name: str
    pool: PoolBlock | None
    v_CF: torch.Tensor
    c_C: torch.Tensor | None

    def pooled(self, h: torch.Tensor, way: Pass) -> torch.Tensor:
        """What the head sees of a unit's output."""
        return h if self.pool is None else self.pool.forward(h, way)

    def scores(self, features_NF: torch.Tensor) -> torch.Tensor:
        """Logits (N, C)."""
        return functional.linear(features_NF, self.v_CF, self.c_C)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and values."""
        yield f"{self.name}.weight", self.v_CF
        if self.c_C is not None:
            yield f"{self.name}.bias", self.c_C


class LocalHeadOnUnits(Algorithm[LocalHeadOptions], about=LOCAL_HEAD):
    """Units trained with one head each."""

    models: ClassVar[tuple[type[Model], ...]] = (UnitNet,)
    storage_note = "no step uses it: units and heads that other stages train"
    model: UnitNet

    def __init__(self, model: UnitNet, options: LocalHeadOptions, *, seed: int = 0) -> None:
        check_together(options)
        super().__init__(model, options, seed=seed)
        _refuse_options_of_layers(model, options)
        if len(model.units) < 2:
            raise ConfigurationError(
                f"local_head trains the units before the classifier, {model.name!r} has none; use"
                " for instance cnn-3x32x32-c16-10"
            )
        self._units = Units(model, self.generator, len(model.units) - 1)
        self._chains = self._units.chains
        shapes = model.outputs[:-1]
        self._heads = [
            self._head(unit.name, shape, is_last=place == len(shapes) - 1)
            for place, (unit, shape) in enumerate(zip(model.units[:-1], shapes, strict=True))
        ]
        self._restart()

    def _head(self, name: str, shape: Shape, *, is_last: bool) -> _UnitHead:
        options, classes = self.options, self.model.classes
        pool = None
        if not is_last:
            pool, shape = pool_to(shape, options.head_features)
        features, bias = prod(shape), None
        if options.head is Head.FIXED:
            weight = draw_head(options.initial_heads, features, classes, self.generator)
        else:
            weight, bias = draw_trained_head(
                options.initial_heads, features, classes, self.generator
            )
        label = "head" if options.head is Head.FIXED else "classifier"
        return _UnitHead(f"{name}.{label}", pool, weight, bias)

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, batch_size)

    # ---- stages -----------------------------------------------------------------------------

    @property
    def stages(self) -> tuple[str, ...]:
        """With ``schedule=greedy`` the units, trained one after the other."""
        if self.options.schedule is Schedule.JOINT:
            return super().stages
        return tuple(unit.name for unit in self.model.units[:-1])

    def enter_stage(self, index: int) -> None:
        """Train another unit from now on, with a new optimiser."""
        super().enter_stage(index)
        if self.options.schedule is Schedule.GREEDY:
            self._restart()

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    @property
    def _trained(self) -> range:
        """Places of the units that a step trains."""
        if self.options.schedule is Schedule.GREEDY:
            return range(self.entered, self.entered + 1)
        return range(len(self._chains))

    def _restart(self) -> None:
        """An optimiser without history, for what a step trains."""
        self._optimiser = optimiser_of(self.options)
        for place in self._trained:
            for each in self._chains[place].held():
                if each.category is Category.PARAMETERS:
                    self._optimiser.add(each.name, each.tensor)
            if self.options.head is Head.TRAINED:
                for name, tensor in self._heads[place].tensors():
                    self._optimiser.add(name, tensor)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every unit in training and its head, during the forward pass."""
        self._optimiser.begin_step()
        learner = AtOnce(self._optimiser)
        passed = [self._units.as_map(x)]
        with torch.no_grad():
            with phase("forward"):
                for chain in self._chains[: self._trained.start]:
                    passed.append(chain.forward(passed.pop(), Pass(None, Statistics.RUNNING)))
            for place in self._trained:
                passed.append(self._train(passed.pop(), y, place, learner))

    def _train(
        self, h: torch.Tensor, y_N: torch.Tensor, place: int, learner: Learner
    ) -> torch.Tensor:
        """Update a unit and its head; returns its output before the update."""
        head, tape, of_head = self._heads[place], Tape(), Tape()
        with phase("forward"):
            passed = [h]
            del h
            h = self._chains[place].forward(passed.pop(), Pass(tape, Statistics.BATCH))
            pooled = head.pooled(h, Pass(of_head, Statistics.BATCH))
            features_NF, shape = pooled.flatten(1), pooled.shape
            del pooled
            error_NC = head.scores(features_NF)
        with phase("gradient"):
            cross_entropy_error_(error_NC, y_N)
            df_NF = error_NC @ head.v_CF
        self._follow(head, error_NC, features_NF, learner)
        del error_NC, features_NF
        if head.pool is None:
            tape.append(df_NF.view(shape))
            del df_NF
        else:
            of_head.append(df_NF.view(shape))
            del df_NF
            head.pool.backward(of_head, learner, to_input=True)
            tape.append(of_head.pop())
        self._chains[place].backward(tape, learner, to_input=False)
        return h

    def _follow(
        self, head: _UnitHead, error_NC: torch.Tensor, features_NF: torch.Tensor, learner: Learner
    ) -> None:
        """Update a trained head; no gradient of its weights exists unless Adam needs it."""
        if self.options.head is Head.FIXED:
            return
        assert head.c_C is not None
        with phase("gradient"):
            dc_C = error_NC.sum(0)
        learner.take(f"{head.name}.bias", head.c_C, dc_C)
        with phase("update"):
            self._optimiser.apply_product(f"{head.name}.weight", head.v_CF, error_NC.T, features_NF)

    # ---- what is kept, and prediction -------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the last head, or of all added up, of the units up to those in training."""
        scores_NC = torch.zeros(len(x), self.model.classes)
        way, last = Pass(None, Statistics.RUNNING), self._trained.stop - 1
        passed = [self._units.as_map(x)]
        with torch.no_grad():
            for place in range(last + 1):
                passed.append(self._chains[place].forward(passed.pop(), way))
                if self.options.predict is Predict.SUM or place == last:
                    head = self._heads[place]
                    scores_NC += head.scores(head.pooled(passed[-1], way).flatten(1))
        return scores_NC

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Units, heads and optimiser state; in storage what the stage does not use."""
        fixed = self.options.head is Head.FIXED
        for place, (chain, head) in enumerate(zip(self._chains, self._heads, strict=True)):
            for each in chain.held():
                idle = place >= self._trained.stop
                yield StaticTensor(each.name, each.tensor, each.category, storage=idle)
            for name, tensor in head.tensors():
                category = Category.BUFFERS if fixed else Category.PARAMETERS
                yield StaticTensor(name, tensor, category, storage=place not in self._trained)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)


def _refuse_options_of_layers(model: UnitNet, options: LocalHeadOptions) -> None:
    """Refuse what is there for fully connected nets only.

    Raises:
        ConfigurationError: The message names the option.
    """
    defaults = LocalHeadOptions.model_fields
    for name, instead in (
        ("loss", "units learn from the cross-entropy of their heads"),
        ("batch_norm", "units have their own"),
        ("keep", "nothing is dropped between units"),
        ("parts", "a unit's gradients are made whole"),
    ):
        if getattr(options, name) != defaults[name].default:
            raise ConfigurationError(
                f"option {name!r} of local_head is for fully connected nets, {model.name!r} is"
                f" {model.kind}: {instead}; leave it out"
            )
