"""EfficientNet-B0 (Tan & Le, ICML 2019).

4,020,358 parameters for 10 classes, 5,288,548 for 1000, as torchvision's; neither the dropout
before the classifier nor the dropping of whole blocks is there. On images of up to 64x64 the first
convolution and the first group with a stride have none.
"""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import convolved, inverted, is_small
from trainfit.algorithms.models.layers import Dense, GlobalAverage, Nonlinearity
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_FIRST, _LAST = 32, 1280
_GROUPS = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""Factor of the width inside, window, channels, blocks, and stride of the first (table 1)."""

_SQUEEZE = 4
"""The squeezed features are the block's input channels divided by this."""
_SILU = Nonlinearity.SILU


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """A convolution, 16 inverted residuals, a pointwise convolution, and the classifier."""
    small, channels = is_small(shape), _FIRST
    found = [Unit("conv1", convolved(_FIRST, 3, 1 if small else 2, function=_SILU))]
    for group, (factor, kernel, outputs, blocks, first) in enumerate(_GROUPS, start=1):
        for number in range(1, blocks + 1):
            stride = first if number == 1 and not (small and group == 2) else 1
            layers = inverted(
                channels,
                outputs,
                factor,
                stride,
                kernel=kernel,
                function=_SILU,
                squeezed=max(1, channels // _SQUEEZE),
            )
            found.append(Unit(f"block{group}_{number}", layers))
            channels = outputs
    last = (*convolved(_LAST, 1, function=_SILU), GlobalAverage())
    return *found, Unit("conv2", last), Unit("classifier", (Dense(classes),))
