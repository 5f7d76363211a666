"""Augmentation: windows of the padded image, mirrored or not, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.builders.runs import workload
from trainfit.algorithms.data import load_dataset
from trainfit.algorithms.data.augment import PADDING, check_images, crop_and_flip
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Augment
from trainfit.bench.training.train import epoch, fitted

SHAPE = (3, 6, 5)


def images(count: int) -> torch.Tensor:
    """Every value once, and no zero."""
    return torch.arange(1.0, count * 3 * 6 * 5 + 1).view(count, -1)


def windows(x_BF: torch.Tensor, shape: tuple[int, int, int]) -> list[list[torch.Tensor]]:
    """All that may be made of each image, first those that are not mirrored."""
    padded = functional.pad(x_BF.view(-1, *shape), [PADDING] * 4)
    cut = [
        padded[:, :, row : row + shape[1], column : column + shape[2]]
        for row in range(2 * PADDING + 1)
        for column in range(2 * PADDING + 1)
    ]
    both = torch.stack([*cut, *(each.flip(3) for each in cut)], dim=1).flatten(2)
    return [list(of_one) for of_one in both]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_image_is_a_window_of_the_padded_one_or_its_mirror() -> None:
    x_BF = images(300)
    before = x_BF.clone()

    found = crop_and_flip(x_BF, SHAPE, generator())

    assert torch.equal(x_BF, before)
    assert found.is_contiguous()
    assert (found.shape, found.dtype) == (x_BF.shape, x_BF.dtype)
    chosen = [
        [torch.equal(image, window) for window in possible].index(True)
        for image, possible in zip(found, windows(x_BF, SHAPE), strict=True)
    ]
    places = (2 * PADDING + 1) ** 2
    assert 100 < sum(each >= places for each in chosen) < 200
    assert len({each % places for each in chosen}) > places * 0.9


def test_the_same_state_draws_the_same_and_another_does_not() -> None:
    x_BF = images(20)
    one, again, other = (crop_and_flip(x_BF, SHAPE, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


DATA = load_dataset("digits", None)
PLAIN = workload(dataset="digits", model="mlp-64-16-10", batch_size=32)
CUT = PLAIN.model_copy(update={"augment": Augment.CROP_FLIP})


def test_it_is_off_unless_it_is_asked_for() -> None:
    order = torch.randperm(len(DATA.train_x), generator=generator(PLAIN.seed))
    x_BF, y_B = next(epoch(PLAIN, DATA, 0))
    assert torch.equal(x_BF, DATA.train_x[order[:32]])
    assert torch.equal(y_B, DATA.train_y[order[:32]])


def test_order_and_labels_stay_and_images_are_others_in_every_pass() -> None:
    plain = list(epoch(PLAIN, DATA, 0))
    first, again, second = (list(epoch(CUT, DATA, number)) for number in (0, 0, 1))
    for (x, y), (x_cut, y_cut), (x_again, y_again) in zip(plain, first, again, strict=True):
        assert torch.equal(y, y_cut)
        assert torch.equal(y, y_again)
        assert torch.equal(x_cut, x_again)
        possible = windows(x, DATA.shape)
        assert all(
            any(torch.equal(image, window) for window in of_one)
            for image, of_one in zip(x_cut[:3], possible, strict=False)
        )
    assert not torch.equal(first[0][0], second[0][0])


def test_a_workload_has_the_name_and_text_it_always_had_where_it_is_off() -> None:
    assert "augment" not in PLAIN.model_dump_json()
    assert CUT.label == PLAIN.label.replace("digits", "digits crop-flip")
    assert type(CUT).model_validate_json(CUT.model_dump_json()) == CUT


@pytest.mark.parametrize("shape", [(1, 1, 64), (64, 1, 1), (4, 16, 1)])
def test_what_is_no_image_is_refused_by_name(shape: tuple[int, int, int]) -> None:
    series = replace(DATA, shape=shape)
    with pytest.raises(ConfigurationError, match=r"augment: samples of dataset 'digits' are .*x"):
        check_images(series)
    with pytest.raises(ConfigurationError, match="no images"):
        fitted(CUT, series)
    fitted(CUT, DATA)
    fitted(PLAIN, series)
