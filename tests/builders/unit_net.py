"""A net of units as torch has it: its own layers by its own autograd, with given parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from trainfit.algorithms.models import Unit, UnitNet
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Nonlinearity,
    Pool,
    Pooling,
    Residual,
    SqueezeExcite,
)

Tensors = Mapping[str, torch.Tensor]

Own = Callable[[Layer, torch.Tensor, str], torch.Tensor | None]
"""Computes a layer of that name in a way of its own; None if it does not."""

_FUNCTIONS = {
    Nonlinearity.RELU: functional.relu,
    Nonlinearity.RELU6: functional.relu6,
    Nonlinearity.SILU: functional.silu,
}


def forward(
    model: UnitNet, x: torch.Tensor, tensors: Tensors, *, training: bool, own: Own | None = None
) -> torch.Tensor:
    """Logits; running statistics among the tensors move if ``training``."""
    h = x.view(-1, *model.shape)
    for unit in model.units:
        h = through(unit, h, tensors, training=training, own=own)
    return h


def through(
    unit: Unit, h: torch.Tensor, tensors: Tensors, *, training: bool, own: Own | None = None
) -> torch.Tensor:
    """Output of one unit."""
    return _layers(unit.layers, h, unit.name, tensors, training=training, own=own)


def _layers(
    layers: tuple[Layer, ...],
    h: torch.Tensor,
    name: str,
    tensors: Tensors,
    *,
    training: bool,
    own: Own | None,
) -> torch.Tensor:
    count: Counter[str] = Counter()
    for layer in layers:
        count[layer.label] += 1
        at = f"{name}.{layer.label}{count[layer.label]}"
        found = own(layer, h, at) if own else None
        if found is not None:
            h = found
            continue
        match layer:
            case Convolution():
                weight, bias = tensors[f"{at}.weight"], tensors.get(f"{at}.bias")
                h = functional.conv2d(h, weight, bias, layer.stride, layer.padding, 1, layer.groups)
            case Dense():
                h = functional.linear(h.flatten(1), tensors[f"{at}.weight"], tensors[f"{at}.bias"])
            case BatchNorm():
                h = functional.batch_norm(
                    h,
                    tensors[f"{at}.mean"],
                    tensors[f"{at}.variance"],
                    tensors[f"{at}.gain"],
                    tensors[f"{at}.shift"],
                    training,
                    layer.momentum,
                    layer.epsilon,
                )
            case Activation():
                h = _FUNCTIONS[layer.function](h)
            case Pool(Pooling.MAX):
                h = functional.max_pool2d(h, layer.kernel, layer.stride, layer.padding)
            case Pool():
                h = functional.avg_pool2d(h, layer.kernel, layer.stride, layer.padding)
            case GlobalAverage():
                h = h.mean((2, 3))
            case SqueezeExcite():
                h = h * _gate(layer, h, at, tensors)[:, :, None, None]
            case Residual():
                how = {"training": training, "own": own}
                past = _layers(layer.shortcut, h, f"{name}.shortcut", tensors, **how)
                h = _layers(layer.body, h, name, tensors, **how) + past
            case _:
                raise NotImplementedError(layer)
    return h


def _gate(layer: SqueezeExcite, h: torch.Tensor, at: str, tensors: Tensors) -> torch.Tensor:
    squeeze, excite = (
        (tensors[f"{at}.{part}.weight"], tensors[f"{at}.{part}.bias"])
        for part in ("squeeze", "excite")
    )
    inner = _FUNCTIONS[layer.function](functional.linear(h.mean((2, 3)), *squeeze))
    return functional.linear(inner, *excite).sigmoid()
