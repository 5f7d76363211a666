"""MobileNet-V2 (Sandler et al., CVPR 2018).

2,236,682 parameters for 10 classes, 3,504,872 for 1000, as torchvision's. On images of up to 64x64
the first convolution and the first group with a stride have none.
"""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import convolved, inverted, is_small
from trainfit.algorithms.models.layers import Dense, GlobalAverage, Nonlinearity
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_FIRST, _LAST = 32, 1280
_GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Factor of the width inside, channels, blocks, and stride of the first (table 2)."""

_RELU6 = Nonlinearity.RELU6


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """A convolution, 17 inverted residuals, a pointwise convolution, and the classifier."""
    small, channels = is_small(shape), _FIRST
    found = [Unit("conv1", convolved(_FIRST, 3, 1 if small else 2, function=_RELU6))]
    for group, (factor, outputs, blocks, first) in enumerate(_GROUPS, start=1):
        for number in range(1, blocks + 1):
            stride = first if number == 1 and not (small and group == 2) else 1
            layers = inverted(channels, outputs, factor, stride)
            found.append(Unit(f"block{group}_{number}", layers))
            channels = outputs
    last = (*convolved(_LAST, 1, function=_RELU6), GlobalAverage())
    return *found, Unit("conv2", last), Unit("classifier", (Dense(classes),))
