"""A batch in INT8 with labels in its first inputs, and its rows scaled to a mean square of 1.

Shape suffixes: B batch, R rows (a batch per row of labels), I inputs.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.ff_int8.layer import unit_rows
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8 import torch_layer as int8_layer_torch
from trainfit.algorithms.numerics.int8.layer import (
    QuantConfig,
    RowQuantized,
)
from trainfit.algorithms.numerics.int8.quantise import (
    LEVELS,
    quantise_into,
    scale_of,
    words,
)
from trainfit.algorithms.numerics.lazy_kernels import int8_layer_kernels
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, tag


class LabelledInput:
    """Writes labels of one height over the first inputs of an INT8 copy; the batch is unchanged.

    A row's scale is that of its largest pixel or of the label, until its length is normalised.
    """

    def __init__(self, model: Mlp, height: float) -> None:
        self._classes = model.classes
        self._inputs = model.inputs
        self._height = height

    def write(
        self, x_BI: torch.Tensor, labels: tuple[torch.Tensor, ...], way: QuantConfig, seed: int
    ) -> RowQuantized:
        """The batch once for each row of labels, stacked.

        Pixels are rounded the same way in all copies, which differ only in the label.
        """
        x_BI = x_BI.contiguous()
        batch = len(x_BI)
        q_RI = torch.empty(len(labels) * batch, self._inputs, dtype=torch.int8)
        squares_R = torch.empty(len(q_RI))
        if way.in_torch:
            self._write_in_torch(x_BI, labels, way, seed, q_RI)
            int8_layer_torch.sum_squares(q_RI, squares_R)
            return unit_rows(q_RI, squares_R.clamp_(min=1.0))
        settings = (self._classes, self._height, self._height / LEVELS, way.stochastic)
        for number, class_B in enumerate(labels):
            part = slice(number * batch, (number + 1) * batch)
            int8_labelled(x_BI, class_B, *settings, *words(seed), q_RI[part], squares_R[part])
        return unit_rows(q_RI, squares_R.clamp_(min=1.0))

    def _write_in_torch(
        self,
        x_BI: torch.Tensor,
        labels: tuple[torch.Tensor, ...],
        way: QuantConfig,
        seed: int,
        q_RI: torch.Tensor,
    ) -> None:
        batch = len(x_BI)
        scale_B = tag(scale_of(x_BI, axis=0), Category.WORKSPACE, "scale")
        scale_B.clamp_(min=self._height / LEVELS)
        quantise_into(
            x_BI,
            q_RI[:batch],
            scale_B,
            rounding=way.rounding,
            seed=seed,
            axis=0,
            kernel=way.kernel,
        )
        label_B = scale_B.reciprocal_().mul_(self._height).round_().to(torch.int8)
        tag(label_B, Category.WORKSPACE, "labels in INT8")
        for number, class_B in enumerate(labels):
            part_BI = q_RI[number * batch : (number + 1) * batch]
            if number:
                part_BI.copy_(q_RI[:batch])
            part_BI[:, : self._classes].zero_()
            part_BI.scatter_(1, class_B[:, None], label_B[:, None])


@operator(
    "int8_labelled(Tensor x_BI, Tensor class_B, int classes, float height, float least,"
    " bool stochastic, int low, int high, Tensor(a!) q_BI, Tensor(b!) squares_B) -> ()"
)
def int8_labelled(  # noqa: PLR0917
    x_BI: torch.Tensor,
    class_B: torch.Tensor,
    classes: int,
    height: float,
    least: float,
    stochastic: bool,
    low: int,
    high: int,
    q_BI: torch.Tensor,
    squares_B: torch.Tensor,
) -> None:
    """``LabelledInput.write`` for a row of labels, and the sum of squares of each row of integers.

    Args:
        x_BI: float32, contiguous.
        class_B: int64, the labels.
        classes: How many inputs they take.
        height: Of a label.
        least: Smallest scale of a row.
        stochastic: Rounding takes random numbers.
        low: Their key, see ``words``.
        high: The same.
        q_BI: int8, the result, whose scales follow from the rows' squares.
        squares_B: float32.
    """
    operands = x_BI.numpy(), class_B.numpy()
    numbers = classes, height, least, stochastic, low, high
    int8_layer_kernels.labelled(*operands, *numbers, q_BI.numpy(), squares_B.numpy())
