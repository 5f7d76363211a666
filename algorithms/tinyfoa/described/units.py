"""TinyFoA as described on nets of units, convolutional ones: slices are groups of output channels.

Units but the classifier are trained one after the other ("horizontal"), each with a fixed random
head of its own, a slice of its weights at a time ("vertical"). For each of a unit's layers::

    z = s_w sign(W) * h + b        n = (z - mean) / deviation        u = gain n + shift
    h' = s_u 1[u > 0]              s_u = mean(max(u, 0))             s_w = mean(abs(W))
    du = dh' 1[0 < u < 1]          dn, dz by batch normalisation     dW = dz * h
    f = pool(h_unit)               a = B f                           dh_unit = pool^T(B^T da)

with ``*`` the convolution (or product) of the layer. The paper (Sec. 2.1 and its main figure) has
the mathematics for layers of one product; its authors' code has fully and locally connected nets.

* **Slice**: of ``slices=M``, slice m is the m-th group of output channels of every convolution and
  dense layer of the unit, with their biases, gains and shifts; where M does not divide the channels
  the first groups have one more. A weight has all inputs of these outputs: inputs are not cut, as
  in the first layer of locally connected nets, for in a unit of several layers the gradient has to
  pass all of them. So a slice is a part of 1 / M, not of 1 / M^2. Only the slices have latent
  weights in RAM, gradients and moments of Adam, which start at zero; they take turns pass by pass.
* **Units of several layers**: the chain rule within the unit, down to its lowest layer, where only
  the slice's channels have a gradient; in a unit with one layer all of the way back is that of the
  slice's channels. No gradient leaves a unit.
* **Heads**: He-normal, without biases, on at most ``head_features`` means over windows of the
  unit's output: on whole maps, as for locally connected nets, they would be larger than the net.
* **Binary**: convolutions and dense layers read packed signs and one scale per layer; batch
  normalisation, biases and squeeze-and-excitation are float, the latter trained whole. The binary
  activation takes the place of every function. What comes from it, also through a max pool, is
  packed bits for the next layer; sums of residual blocks and means are float, like the samples.
  Weights, biases, gains and shifts are clipped to [-1, 1] after each update.
* **Float forms**: as for fully connected nets (:mod:`trainfit.algorithms.tinyfoa.described.
  unbinarised`), ``weights=float`` reads W, neither clipped nor cut, and ``activations=float`` has
  the net's own functions.
* **Units below** run by their final running statistics, as in prediction; with
  ``frozen_statistics=batch`` by those of the batch, as in the released code.

Bits are unpacked for torch's convolution some samples at a time; ``kernel`` is Adam's only. So the
columns of a convolution are those of some samples, too, in all four forms alike; other rules lay
out those of the whole batch at once where torch does, which is a difference of how the rule is
written and not of the rule.

Shape suffixes: N batch, C classes, F features that a head sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import torch

from trainfit.algorithms.blocks.block import NOTHING, Flow, Pass, Statistics, Tape, Turn
from trainfit.algorithms.blocks.float32.pool import PoolBlock
from trainfit.algorithms.blocks.learning import AtOnce, ByRows, Learner
from trainfit.algorithms.blocks.sliced.making import Sliced
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Model, Shape, UnitNet
from trainfit.algorithms.nets.head_pool import pool_to
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.numerics.optimisers import Adam
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase
from trainfit.algorithms.tinyfoa.options import (
    TINYFOA,
    FeatureSource,
    FrozenStatistics,
    Kernel,
    SliceUpdate,
    TinyFoAOptions,
    Variant,
)
from trainfit.algorithms.tinyfoa.variant import fixed_head


@dataclass(frozen=True)
class _Head:
    """A pool and fixed weights.

    Attributes:
        pool: Of a unit's output; None if there is none.
        seen: Shape of what the weights see.
        v_CF: The weights.
    """

    pool: PoolBlock | None
    seen: Shape
    v_CF: torch.Tensor

    def scores(self, h: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of a unit's output."""
        pooled = h if self.pool is None else self.pool.forward(h, Pass(None, Statistics.RUNNING))
        return pooled.flatten(1) @ self.v_CF.T

    def gradient(
        self, error_NC: torch.Tensor, channels: slice, shape: torch.Size, learner: Learner
    ) -> torch.Tensor:
        """That of some channels of the unit's output, which is of ``shape``, from the logits'."""
        _, *extents = self.seen
        size, count = prod(extents), channels.stop - channels.start
        df_NF = error_NC @ self.v_CF[:, size * channels.start : size * channels.stop]
        whole = torch.Size((len(df_NF), count, *shape[2:]))
        if self.pool is None:
            return df_NF.view(whole)
        tape: Tape = [whole, df_NF.view(-1, count, *extents)]
        del df_NF
        self.pool.backward(tape, learner, to_input=True)
        dh: torch.Tensor = tape.pop()
        return dh


class TinyFoAOnUnits(Algorithm[TinyFoAOptions], about=TINYFOA):
    """Units trained one after the other, a group of output channels at a time."""

    models: ClassVar[tuple[type[Model], ...]] = (UnitNet,)
    storage_note = "no step writes it: a slice is written back after its turn (once per pass)"
    model: UnitNet

    def __init__(self, model: UnitNet, options: TinyFoAOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        _refuse_options_of_layers(model, options)
        if len(model.units) < 2:
            raise ConfigurationError(
                f"tinyfoa trains the units before the classifier, {model.name!r} has none; use for"
                " instance cnn-3x32x32-c16-10"
            )
        make = Sliced(
            weights=options.weights is Precision.BINARY,
            activations=options.activations is Precision.BINARY,
        )
        units = Units(model, self.generator, len(model.units) - 1, make=make)
        self._units, self._chains = units, units.chains
        by_batch = options.frozen_statistics is FrozenStatistics.BATCH
        if by_batch and not any(each.category is Category.BUFFERS for each in units.held()):
            raise ConfigurationError(
                f"tinyfoa: frozen_statistics=batch needs a net with batch normalisation,"
                f" {model.name!r} has none before its classifier; leave it out"
            )
        self._heads = [self._head(shape) for shape in model.outputs[:-1]]
        self._check_slices()
        self._turn(0)

    def _head(self, shape: Shape) -> _Head:
        pool, seen = pool_to(shape, self.options.head_features)
        return _Head(pool, seen, fixed_head(prod(seen), self.model.classes, self.generator))

    def _check_slices(self) -> None:
        """Refuse a number of slices that one of the layers cannot be cut into."""
        for number in range(self.options.slices):
            for chain, unit in zip(self._chains, self.model.units, strict=False):
                if not any(True for _ in chain.in_turn()):
                    raise ConfigurationError(
                        f"tinyfoa: unit {unit.name} of {self.model.name!r} has nothing to train;"
                        " make its layers part of another unit"
                    )
                try:
                    chain.enter_turn(Turn(number, self.options.slices), Flow(NOTHING))
                except ConfigurationError as error:
                    raise ConfigurationError(f"tinyfoa on {self.model.name!r}: {error}") from None
                chain.enter_turn(None, Flow(NOTHING))

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, batch_size)

    # ---- stages and turns -------------------------------------------------------------------

    @property
    def stages(self) -> tuple[str, ...]:
        """Units, trained one after the other."""
        return tuple(unit.name for unit in self.model.units[:-1])

    def enter_stage(self, index: int) -> None:
        """Train another unit from now on, the first of its slices."""
        super().enter_stage(index)
        self._turn(0)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Next unit after ``epochs`` passes, next slice after every pass."""
        super().begin_epoch(epoch, epochs)
        self._turn(epoch % epochs)

    def _turn(self, number: int) -> None:
        """Write the active slice back, fetch another one, whose moments are zero."""
        turn, flow = Turn(number % self.options.slices, self.options.slices), Flow(NOTHING)
        for place, chain in enumerate(self._chains):
            is_active = place == self.entered
            flow = chain.enter_turn(turn if is_active else None, replace(flow, wanted=NOTHING))
            if is_active:
                self._wanted = flow.wanted
        compiled = self.options.kernel is Kernel.POPCOUNT
        self._adam = Adam(
            self.options.lr, weight_decay=self.options.weight_decay, compiled=compiled
        )
        for name, parameter in self._chains[self.entered].in_turn():
            self._adam.add(name, parameter)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active slice."""
        chain, head = self._chains[self.entered], self._heads[self.entered]
        fused = self.options.update is SliceUpdate.FUSED
        learner = ByRows(self._adam) if fused else AtOnce(self._adam)
        tape = Tape()
        self._adam.begin_step()
        with torch.no_grad():
            with phase("forward"):
                h = chain.forward(self._below(x, training=True), Pass(tape, Statistics.BATCH))
                error_NC, shape = head.scores(h), h.shape
                del h
            with phase("gradient"):
                cross_entropy_error_(error_NC, y)
                tape.append(head.gradient(error_NC, self._wanted, shape, learner))
                del error_NC
            chain.backward(tape, learner, to_input=False)

    def _below(self, x: torch.Tensor, *, training: bool) -> torch.Tensor:
        """The input of the active unit."""
        of_batch = training and self.options.frozen_statistics is FrozenStatistics.BATCH
        way = Pass(None, Statistics.BATCH if of_batch else Statistics.RUNNING)
        passed = [self._units.as_map(x)]
        for chain in self._chains[: self.entered]:
            passed.append(chain.forward(passed.pop(), way))
        return passed.pop()

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active unit's head."""
        with torch.no_grad():
            h = self._below(x, training=False)
            h = self._chains[self.entered].forward(h, Pass(None, Statistics.RUNNING))
            return self._heads[self.entered].scores(h)

    # ---- what is kept -----------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """The units up to the active one, its head, the slices' state; others in storage."""
        names = (unit.name for unit in self.model.units)
        for place, (chain, head, name) in enumerate(
            zip(self._chains, self._heads, names, strict=False)
        ):
            for each in chain.held():
                idle = each.stored or place > self.entered
                yield StaticTensor(each.name, each.tensor, each.category, storage=idle)
            idle = place != self.entered
            yield StaticTensor(f"{name}.head", head.v_CF, Category.BUFFERS, storage=idle)
        for name, state in self._adam.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)


def _refuse_options_of_layers(model: UnitNet, options: TinyFoAOptions) -> None:
    """Refuse what is there for other nets only.

    Raises:
        ConfigurationError: The message names the option.
    """
    if options.variant is Variant.RELEASED:
        raise ConfigurationError(
            "tinyfoa: variant=released is what its authors' code does, which has no convolutional"
            f" nets such as {model.name!r}; take variant=described, or a net mlp-... or lc-..."
        )
    if options.features is FeatureSource.CACHED:
        raise ConfigurationError(
            f"tinyfoa: features=cached keeps one bit per output of a layer, but units of"
            f" {model.name!r} may give sums and means; take features=recomputed"
        )
