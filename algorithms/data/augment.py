"""The usual augmentation of CIFAR-10: a random window of the padded image, mirrored or not.

As in the training of ResNets (He et al., CVPR 2016, section 4.2): four zeros at each border, a
window of the image's size, every position alike, and half of the images mirrored from left to
right. The zeros are black in images from 0 to 1, and the mean of the channel in standardised ones.

Shape suffixes: B batch, C channels, H height, W width, F features (C times H times W).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from trainfit.algorithms.data.base import Dataset
from trainfit.algorithms.errors import ConfigurationError

PADDING = 4
"""Zeros at each border."""


def check_images(dataset: Dataset) -> None:
    """Refuse to crop and mirror what has no height and width.

    Raises:
        ConfigurationError: The samples are no images.
    """
    _, height, width = dataset.shape
    if height == 1 or width == 1:
        raise ConfigurationError(
            f"augment: samples of dataset {dataset.name!r} are"
            f" {'x'.join(map(str, dataset.shape))}, no images that can be cropped and mirrored;"
            " leave it out"
        )


def augmented(
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    shape: tuple[int, int, int],
    generator: torch.Generator,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches with every image cropped and mirrored anew.

    Args:
        batches: Images (B, F) and their classes, which stay.
        shape: Channels, height and width of an image.
        generator: Source of windows and mirrors; the same state gives the same images.
    """
    for x_BF, y_B in batches:
        yield crop_and_flip(x_BF, shape, generator), y_B


def crop_and_flip(
    x_BF: torch.Tensor, shape: tuple[int, int, int], generator: torch.Generator
) -> torch.Tensor:
    """A batch with a window and a mirror drawn for each image.

    Args:
        x_BF: Images; left unchanged.
        shape: Channels, height and width of an image.
        generator: Source of windows and mirrors, on the CPU.

    Returns:
        As ``x_BF``, in new memory.
    """
    (batch, _), (_, height, width) = x_BF.shape, shape
    device, places = x_BF.device, 2 * PADDING + 1
    rows_B, columns_B = torch.randint(places, (2, batch), generator=generator).to(device)
    mirrored_B = torch.randint(2, (batch,), generator=generator).to(device, torch.bool)
    rows_BH = rows_B[:, None] + torch.arange(height, device=device)
    columns_BW = columns_B[:, None] + torch.arange(width, device=device)
    columns_BW = torch.where(mirrored_B[:, None], columns_BW.flip(1), columns_BW)
    padded_BCHW = functional.pad(x_BF.view(batch, *shape), [PADDING] * 4)
    images_B = torch.arange(batch, device=device)[:, None, None]
    window_BHWC = padded_BCHW.permute(0, 2, 3, 1)[
        images_B, rows_BH[:, :, None], columns_BW[:, None, :]
    ]
    return window_BHWC.permute(0, 3, 1, 2).reshape(batch, -1)
