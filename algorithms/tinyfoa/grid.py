"""TinyFoA's slices of the weights of a locally connected layer.

Output channels are cut into N groups, input channels into M; a slice has the weights from one input
group to one output group, at all positions. The first layer is cut by output channels only, as in
the released code: its input is real-valued and has one channel or three.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.models.locally_connected import WINDOW


@dataclass(frozen=True)
class Grid:
    """A hidden layer and its slices.

    Attributes:
        groups: N, of output channels.
        columns: M, of input channels.
        positions: P, of the map.
        outputs: J, channels of an output group.
        segments: S, the segments of the weights of one output and input group: one per neighbour if
            activations are packed, one for all if the input is real.
        inputs: K, weights of a segment.
    """

    groups: int
    columns: int
    positions: int
    outputs: int
    segments: int
    inputs: int

    @property
    def fan_in(self) -> int:
        """Weights of one output in one slice."""
        return self.segments * self.inputs

    @property
    def slice_weights(self) -> int:
        """Weights of a slice."""
        return self.positions * self.outputs * self.fan_in

    @property
    def units(self) -> int:
        """Outputs of a group: its channels at all positions."""
        return self.positions * self.outputs


def make_grids(model: LocallyConnected, slices: int) -> list[Grid]:
    """The grid of every hidden layer.

    Raises:
        ConfigurationError: The number of slices does not divide all hidden channels.
    """
    for width in model.hidden:
        if width % slices:
            raise ConfigurationError(
                f"tinyfoa: slices={slices} does not divide the {width} channels of a hidden layer"
                f" of {model.name!r}; choose a divisor of all of them"
            )
    grids = []
    for index, (inputs, outputs) in enumerate(model.layers):
        columns, segments, width = (
            (slices, WINDOW, inputs // slices) if index else (1, 1, WINDOW * inputs)
        )
        grids.append(Grid(slices, columns, model.positions, outputs // slices, segments, width))
    return grids
