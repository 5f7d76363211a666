"""Standardising: the numbers, where they come from, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.data.shared import REAL_ROOT, needs_real
from trainfit.algorithms.data import Dataset, check_dataset, load_dataset
from trainfit.algorithms.data.standardise import channel_statistics, standardise
from trainfit.algorithms.errors import ConfigurationError


@pytest.fixture
def colours() -> Dataset:
    """Two channels of 1x3 pixels; by hand: means 3 and 20, squared deviations 4 and 100."""
    train_x = torch.tensor([[1.0, 5.0, 1.0, 10.0, 30.0, 30.0], [5.0, 1.0, 5.0, 10.0, 10.0, 30.0]])
    test_x = torch.tensor([[3.0, 7.0, -1.0, 20.0, 0.0, 40.0]])
    y = torch.tensor([0, 1])
    return Dataset("colours", train_x, y, test_x, y[:1], 2, (2, 1, 3), "a note")


def test_numbers_by_hand(colours: Dataset) -> None:
    mean, deviation = channel_statistics(colours)
    assert mean.tolist() == [3.0, 20.0]
    assert deviation.tolist() == [2.0, 10.0]
    done = standardise(colours)
    assert done.train_x.tolist() == [[-1, 1, -1, -1, 1, 1], [1, -1, 1, -1, -1, 1]]
    assert done.test_x.tolist() == [[0, 2, -2, 0, -2, 2]]


def test_everything_else_stays(colours: Dataset) -> None:
    before = colours.train_x.clone(), colours.test_x.clone()
    done = standardise(colours)
    check_dataset(done)
    assert torch.equal(colours.train_x, before[0])
    assert torch.equal(colours.test_x, before[1])
    assert (done.name, done.classes, done.shape, done.note) == ("colours", 2, (2, 1, 3), "a note")
    assert done.train_y is colours.train_y


def test_the_test_half_has_no_say(colours: Dataset) -> None:
    other = replace(colours, test_x=colours.test_x * 1000)
    assert torch.equal(standardise(colours).train_x, standardise(other).train_x)


def test_values_far_from_zero_keep_their_deviation() -> None:
    # A difference of two sums of squares would be 0 here, even in double precision.
    x = torch.full((4096, 8), 2.0**23)
    x[::2] += 1
    y = torch.arange(4096) % 2
    mean, deviation = channel_statistics(Dataset("far", x, y, x, y, 2, (1, 1, 8)))
    assert mean.item() == 2.0**23 + 0.5
    assert deviation.item() == 0.5


def test_more_than_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits")
    whole = channel_statistics(digits)
    monkeypatch.setattr("trainfit.algorithms.data.standardise._CHUNK_VALUES", 1000)
    parts = channel_statistics(digits)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)
    assert whole[0].item() == pytest.approx(digits.train_x.double().mean().item())
    assert whole[1].item() == pytest.approx(digits.train_x.double().std(correction=0).item())


@pytest.mark.parametrize("value", [0.1, 0.0, -1e30])
def test_constant_channel(colours: Dataset, value: float) -> None:
    x = colours.train_x.clone()
    x[:, 3:] = value
    with pytest.raises(ConfigurationError) as caught:
        standardise(replace(colours, train_x=x))
    assert str(caught.value) == (
        f"dataset 'colours': channel 1 of 2 has the value {torch.tensor(value).item():g} in all "
        "2 training samples, so its standard deviation is 0; use the data as it is, or without "
        "that channel"
    )


def test_a_pixel_that_never_changes_is_no_constant_channel() -> None:
    digits = load_dataset("digits")
    assert (digits.train_x[:, 0] == 0).all()
    check_dataset(standardise(digits))


@needs_real("MNIST/raw")
def test_real_mnist_has_the_customary_numbers() -> None:
    mean, deviation = channel_statistics(load_dataset("mnist", REAL_ROOT))
    assert (round(mean.item(), 4), round(deviation.item(), 4)) == (0.1307, 0.3081)


@needs_real("cifar-10-batches-py")
def test_real_cifar10_has_the_customary_numbers() -> None:
    mean, deviation = channel_statistics(load_dataset("cifar10", REAL_ROOT))
    assert [round(value, 4) for value in mean.tolist()] == [0.4914, 0.4822, 0.4465]
    assert [round(value, 4) for value in deviation.tolist()] == [0.2470, 0.2435, 0.2616]
