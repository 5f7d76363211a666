"""What the papers print, as data: the numbers that figures and tables put beside ours.

Every block names its source and what has to be known to read it. Nothing is derived here and
nothing is fitted; what is read off a picture or quoted at second hand says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FF_INT8 = "Ma, Panda & Reda, FF-INT8, DAC 2025, arXiv 2506.22771v1"
TINYFOA = "Huang & Aminifar, TinyFoA, AAAI 39(16), 2025, doi 10.1609/aaai.v39i16.33910"
PAU_AYMONE = "Pau & Aymone, COINS 2023, doi 10.1109/COINS57856.2023.10189239"

STAND_IN = "DAI8 for GDAI8"
"""GDAI8 (Wang & Kang, Neurocomputing 541:126269, 2023) is not among our algorithms; DAI8 (Zhao et
al., AAAI 2021) is its nearest relative, and whatever shows it says so with these words."""
STAND_IN_REMARK = (
    f"GDAI8 is not among our algorithms; DAI8, its nearest relative, stands in for it ({STAND_IN})."
)


@dataclass(frozen=True)
class TrainingCost:
    """A column of FF-INT8's Table V: a whole training on a Jetson Orin Nano, 4 GB.

    Attributes:
        accuracy: Test accuracy, 0 to 1.
        seconds: Training time; for how many passes is not stated.
        joules: Training energy.
        megabytes: Memory, the framework's included; of 10^6 or 2^20 bytes is not stated.
    """

    accuracy: float
    seconds: float
    joules: float
    megabytes: float


TABLE_V_SOURCE = f"{FF_INT8}, Table V"
TABLE_V_REMARK = (
    "Memory there is that of the process with its framework; how it, time and energy were measured,"
    " the passes, the optimiser and the seeds are not stated. The order of energy on the MLP is"
    " FF-INT8, INT8, UI8, GDAI8, FP32."
)
TABLE_V: Mapping[str, Mapping[str, TrainingCost]] = {
    "MLP": {
        "FP32": TrainingCost(0.945, 482.3, 2315.0, 247.6),
        "INT8": TrainingCost(0.524, 326.1, 1206.6, 213.9),
        "UI8": TrainingCost(0.923, 335.2, 1277.1, 197.0),
        "GDAI8": TrainingCost(0.938, 344.9, 1345.4, 182.6),
        "FF-INT8": TrainingCost(0.943, 312.7, 1097.0, 140.7),
    },
    "MobileNet-V2": {
        "FP32": TrainingCost(0.915, 2370.8, 11593.2, 649.8),
        "INT8": TrainingCost(0.059, 1851.6, 7836.0, 571.6),
        "UI8": TrainingCost(0.872, 1960.0, 7618.5, 592.6),
        "GDAI8": TrainingCost(0.909, 1790.7, 6528.1, 578.9),
        "FF-INT8": TrainingCost(0.911, 1703.9, 6174.3, 437.0),
    },
    "EfficientNet-B0": {
        "FP32": TrainingCost(0.894, 2692.8, 13356.2, 861.0),
        "INT8": TrainingCost(0.118, 2095.0, 8563.9, 703.9),
        "UI8": TrainingCost(0.853, 2230.8, 8656.2, 735.5),
        "GDAI8": TrainingCost(0.889, 2177.1, 8589.9, 692.0),
        "FF-INT8": TrainingCost(0.886, 2129.9, 8093.8, 505.2),
    },
    "ResNet-18": {
        "FP32": TrainingCost(0.935, 3853.0, 18764.1, 1096.4),
        "INT8": TrainingCost(0.072, 2676.1, 10436.8, 885.8),
        "UI8": TrainingCost(0.897, 2873.8, 11466.5, 920.7),
        "GDAI8": TrainingCost(0.929, 2751.6, 10291.0, 894.1),
        "FF-INT8": TrainingCost(0.931, 2697.9, 9926.5, 682.3),
    },
}
"""By model (the MLP on MNIST, the others on CIFAR-10), then by rule."""

TABLE_I_SOURCE = f"{FF_INT8}, Table I"
TABLE_I: Mapping[int, tuple[float, float]] = {
    0: (0.895, 0.887),
    1: (0.934, 0.738),
    2: (0.945, 0.624),
    3: (0.943, 0.652),
}
"""Hidden layers of 500 units to test accuracy on MNIST, FP32 and naive INT8."""


@dataclass(frozen=True)
class OperationCount:
    """A column of FF-INT8's Table IV: a mini-batch of 10 on "a 4-layer MLP", MNIST.

    Attributes:
        macs: Multiply-accumulates.
        number_format: Of their operands.
        compares: Comparisons of the quantisation; None where there is none.
        float_adds: Additions of the quantisation.
    """

    macs: float
    number_format: str
    compares: float | None = None
    float_adds: float | None = None


TABLE_IV_SOURCE = f"{FF_INT8}, Table IV"
TABLE_IV_BATCH = 10
TABLE_IV_REMARK = (
    "Which 4-layer MLP the table counts is not stated, so candidates stand side by side. No"
    " candidate reaches 898.2 million or comes down to 23.8 million by counting"
    " multiply-accumulates."
)
TABLE_IV: Mapping[str, OperationCount] = {
    "FP32": OperationCount(898.2e6, "fp32"),
    "GDAI8": OperationCount(898.2e6, "int8", compares=7.2e3, float_adds=18.4e3),
    "FF-INT8": OperationCount(23.8e6, "int8", compares=32.4e3, float_adds=165.9e3),
}


@dataclass(frozen=True)
class CurvePoint:
    """A point of a training curve.

    Attributes:
        passes: Passes over the training data.
        accuracy: Test accuracy, 0 to 1.
        text: What the paper says of it.
    """

    passes: int
    accuracy: float
    text: str


FIGURE_6_SOURCE = f"{FF_INT8}, Fig. 6 (read off the figure and its text)"
FIGURE_6: Mapping[str, CurvePoint] = {
    "off": CurvePoint(180, 0.90, "about 90 % after about 180 passes"),
    "on": CurvePoint(130, 0.90, "slightly more after about 130 passes"),
}
"""The MLP without and with look-ahead; the figure has no more than these two points to hold on to.
"Slightly higher" with look-ahead is drawn at 90 %, too."""

TINYFOA_FACTORS_SOURCE = f"{TINYFOA}; quoted at second hand"
TINYFOA_FACTORS: Mapping[str, float] = {"forward": 96.0, "gradient": 24.0, "update": 12.0}
"""By how much memory is said to shrink against backpropagation, by phase ("about")."""
TINYFOA_FACTORS_REMARK = (
    "The paper's formulas were not at hand. 96 and 12 are what a count of weights alone gives (32"
    " times fewer bits x 3 for one of four layers; a slice of 2 x 2 x 3), which leaves out"
    " activations, latent weights and what is held between steps."
)
TINYFOA_RELEASED: tuple[float, ...] = (0.920, 0.928, 0.928, 0.921)
"""Test accuracy on MNIST of the authors' released code after layers 1 to 4, 4 x 2000 fully
connected, three passes a layer; made with that code, not printed in the paper."""
TINYFOA_RELEASED_SOURCE = "the authors' code, 3 passes a layer"


TINYFOA_STEP_SOURCE = (
    "the authors' code (whubaichuan/TinyFoA at 7ecedf3), measured with trainfit's profile_step and"
    " by the allocator's events; torch 2.13 on a CPU, float32"
)
"""Both ways gave the same integer. Data loaders were replaced; the arithmetic was not touched."""
TINYFOA_STEP_BYTES: Mapping[str, int] = {
    "TinyFoA_FC.py, layer 4": 69_648_008,
    "TinyFoA_FC.py, layer 2": 69_632_008,
    "BP_FC.py": 99_964_056,
    "BP_FC.py, BW + BA": 152_788_048,
    "TinyFoA_LC.py, layer 2, batch 10": 183_143_460,
}
"""Peak dynamic bytes of a step on MNIST: 4 x 2000 in batches of 100, and the locally connected net.
BW + BA: weights and activations binary. Gradients live until the next ``zero_grad``, so through the
next forward pass; ``Binarize`` makes a clone, a quotient, a sign and a product."""


@dataclass(frozen=True)
class AutoencoderCost:
    """What Pau & Aymone's sheet says of a rule on MLPerf Tiny's autoencoder, per sample.

    Attributes:
        million_macs: Multiply-accumulates of a training step.
        activation_kilobytes: INT8 activations alive at once.
        ram_kilobytes: Weights and those activations; no gradients, no optimiser.
        milliseconds: On the STM32H735G and the STM32G474RE.
    """

    million_macs: float
    activation_kilobytes: float
    ram_kilobytes: float
    milliseconds: tuple[float, float]


PAU_AYMONE_SOURCE = f"{PAU_AYMONE}, the authors' sheet, AE/ToyADMOS"
PAU_AYMONE_REMARK = (
    "Batch 1, everything INT8, weights 265.9 KB; milliseconds are counted"
    " multiply-accumulates x 3 or 4.5 cycles over the clock, not measurements."
)
PAU_AYMONE_AUTOENCODER: Mapping[str, AutoencoderCost] = {
    "BP": AutoencoderCost(0.7, 2.3, 268.2, (3.9, 18.8)),
    "FF": AutoencoderCost(1.1, 1.4, 267.3, (5.8, 28.2)),
    "PEPITA": AutoencoderCost(1.2, 2.3, 268.2, (6.6, 31.8)),
    "MEMPEPITA": AutoencoderCost(1.5, 1.4, 267.3, (8.0, 38.8)),
}
