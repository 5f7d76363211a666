"""Blocks of a net that is trained in part: bits of rectifiers, learners, blocks that cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from trainfit.algorithms import ConfigurationError
from trainfit.algorithms.blocks.block import Block, Held, Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.bits import bits_of, times_bits_
from trainfit.algorithms.blocks.learning import AtOnce, ByRows, Learner
from trainfit.algorithms.models import Unit, UnitNet, get_model
from trainfit.algorithms.models.layers import Convolution, Dense
from trainfit.algorithms.nets.units import Units
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.phases import Category
from trainfit.algorithms.sparse_update.options import SparseUpdateOptions
from trainfit.algorithms.sparse_update.unit_choice import choose_in


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 3, 7), (2, 16), (7, 1), (4, 8, 16, 16)])
@pytest.mark.parametrize("top", [math.inf, 6.0])
def test_bits_are_the_derivative_of_a_rectifier(shape, top):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator) * 8
    y, dy = x.clamp(0.0, top), torch.randn(shape, generator=generator)
    expected = dy * ((x > 0) & (x < top))

    bits = bits_of(y, top)

    assert bits.nbytes == -(-x.numel() // 8)
    assert times_bits_(dy, bits) is dy
    assert torch.equal(dy, expected)


def trained(units: Units, learner: Learner) -> None:
    """One way forward and back."""
    x, tape = torch.linspace(-1, 1, 6 * 2 * 5 * 5).view(6, -1), Tape()
    y = units.forward(x, Pass(tape, Statistics.RUNNING))
    tape.append(y * 0.1)
    for place in reversed(range(len(units.chains))):
        units.chains[place].backward(tape, learner, to_input=place > 0)
    assert not tape


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_rows_of_a_part_are_the_part(part):
    options = SparseUpdateOptions.model_validate({"layers": "all", "ratio": 0.5, "part": part})
    model, results = get_model("cnn-2x5x5-c4-d8-f8-4"), []
    for kind in (AtOnce, ByRows):
        units = Units(model, torch.Generator().manual_seed(0))
        optimiser, chosen = Sgd(0.1, 0.0), choose_in(units, model.name, options)
        assert units.train_only(chosen) == 0
        for name, tensor in chosen.items():
            optimiser.add(name, tensor)
        trained(units, kind(optimiser))
        results.append({each.name: each.tensor for each in units.held()})
    for name, tensor in results[0].items():
        assert torch.allclose(results[1][name], tensor, rtol=1e-5, atol=1e-6), name


def test_a_block_with_parameters_says_that_it_has_no_such_form():
    class Whole(Block):
        def held(self) -> Iterator[Held]:
            yield Held("own", torch.zeros(1), Category.PARAMETERS)

        def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
            return x

        def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
            pass

    with pytest.raises(NotImplementedError, match="Whole cannot be trained in part"):
        Whole().train_only({}, to_input=True, kept=False)


BARE = UnitNet(
    "bare-1x4x4-2",
    "bare",
    (1, 4, 4),
    (Unit("conv1", (Convolution(2),)), Unit("classifier", (Dense(2),))),
)


def test_a_layer_without_a_bias_is_refused_by_its_number_and_passed_over_otherwise():
    units = Units(BARE, torch.Generator())
    for biases in ("all", "last:2"):
        options = SparseUpdateOptions(layers="none", biases=biases)
        assert set(choose_in(units, BARE.name, options)) == {"classifier.fc1.bias"}
    with pytest.raises(ConfigurationError, match=r"biases='1,2', but layer 1 .*, conv1.conv1, has"):
        choose_in(units, BARE.name, SparseUpdateOptions(layers="none", biases="1,2"))
