"""Samples of a net of units with labels: over their first values, or as a channel more.

Shape suffixes: N samples, K classes, C channels, H height and W width of a sample.
"""

from __future__ import annotations

from math import prod

import torch

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.forward_forward.labels import write_labels
from trainfit.algorithms.forward_forward.objective import normalise_
from trainfit.algorithms.forward_forward.options import Labels
from trainfit.algorithms.models import UnitNet
from trainfit.algorithms.phases import Category, tag


class LabelledMaps:
    """Writes copies of samples with their labels; the samples are unchanged.

    Args:
        model: The net.
        labels: How a label is told; with ``channels`` it is not.
        scale: Height of a label, or of the values of a plane.
        generator: Draws a pattern of signs for every class's plane.

    Attributes:
        patterns_KHW: These patterns, if there are.
    """

    def __init__(
        self, model: UnitNet, labels: Labels, scale: float, generator: torch.Generator
    ) -> None:
        self._model, self._scale = model, scale
        self.patterns_KHW: torch.Tensor | None = None
        if labels is Labels.PLANE:
            signs = torch.empty(model.classes, *model.shape[1:])
            signs.random_(0, 2, generator=generator)
            self.patterns_KHW = signs.mul_(2.0 * scale).sub_(scale)

    def write(self, x: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
        """Copies of the samples, one for each set of labels; every sample has a mean square of 1.

        Args:
            x: Samples, (N, features).
            labels: int64, each of shape (N,).
        """
        channels, height, width = self._model.shape
        more = int(self.patterns_KHW is not None)
        maps = torch.empty(len(labels) * len(x), channels + more, height, width)
        tag(maps, Category.INPUTS, "samples with labels")
        for number, y_N in enumerate(labels):
            part = maps[number * len(x) : (number + 1) * len(x)]
            part[:, :channels].copy_(x.view(-1, channels, height, width))
            if self.patterns_KHW is None:
                write_labels(part.flatten(1), y_N, self._model.classes, self._scale)
            else:
                part[:, channels].copy_(self.patterns_KHW[y_N])
        return normalised_(maps)


def normalised_(h: torch.Tensor) -> torch.Tensor:
    """Scale every sample to a mean square of 1, in place."""
    flat = h.view(len(h), -1)
    normalise_(flat, torch.linalg.vector_norm(flat, dim=1))
    return h


def check_room_in_maps(name: str, model: UnitNet, labels: Labels) -> None:
    """Refuse a net with no unit to train, or in which labels have no room.

    Args:
        name: The rule, for the message.
        model: The net.
        labels: How a label is told.

    Raises:
        ConfigurationError: The message says what would do.
    """
    if len(model.units) < 2:
        raise ConfigurationError(
            f"{name} trains the units before the classifier, {model.name!r} has none; use"
            " for instance cnn-3x32x32-c20-10"
        )
    if labels is Labels.PIXELS and prod(model.shape) < model.classes:
        others = "labels=plane" if name == "ff_int8" else "labels=plane or labels=channels"
        raise ConfigurationError(
            f"{name} writes the label over the first {model.classes} values of a sample,"
            f" {model.name!r} has {prod(model.shape)}; use {others}"
        )
