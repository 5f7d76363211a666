"""Gradients of a net of units in INT8, in float64 by autograd: what the papers' rules make of them.

Products are those of values that INT8 has; what a rule does to the gradient of their result is a
function of that gradient. Batch normalisation is in float, its way back reads its rounded output.

* UI8: Zhu et al., CVPR 2020: one clipping value, of n parts of the largest magnitude that with the
  least ``d = 1 - cos(g, g^)``; the rate times ``max(exp(-alpha d), beta)``.
* DAI8: Zhao et al., AAAI 2021: a range per output channel, ``max abs(g)`` where more than a share
  of it is beyond sigma, else ``(1 - k A) s + A max abs(g)``; one range for what goes down.
* QAT: Jacob et al., CVPR 2018: a gradient goes straight through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from tests.builders.unit_net import Tensors, forward
from trainfit.algorithms.models import UnitNet
from trainfit.algorithms.models.layers import BatchNorm, Convolution, Dense, Layer

LEVELS = 127


class Gradient(NamedTuple):
    """Of a product's result: for its weight, for what is below, and the factor on the rate."""

    for_weight: torch.Tensor
    for_input: torch.Tensor
    rate: float = 1.0


Rule = Callable[[str, torch.Tensor], Gradient]
"""What becomes of the gradient of the product of that name."""


def rounded(t: torch.Tensor, most: torch.Tensor | None = None) -> torch.Tensor:
    """The nearest values of INT8, for one range or several."""
    scale = (t.abs().max() if most is None else most) / LEVELS
    return (t / scale.clamp(min=2.0**-126)).round().clamp(-LEVELS, LEVELS) * scale


def naive(name: str, g: torch.Tensor) -> Gradient:
    """The largest magnitude is the range."""
    return Gradient(rounded(g), rounded(g))


def straight_through(name: str, g: torch.Tensor) -> Gradient:
    """Nothing is rounded."""
    return Gradient(g, g)


class Ui8:
    """Direction-sensitive clipping; rates that fall with the deviation."""

    def __init__(self, candidates: int, alpha: float = 20.0, beta: float = 0.1) -> None:
        self.candidates, self.alpha, self.beta = candidates, alpha, beta

    def __call__(self, name: str, g: torch.Tensor) -> Gradient:
        tried = [
            rounded(g, g.abs().max() * nth / self.candidates)
            for nth in range(1, self.candidates + 1)
        ]
        cosines = [functional.cosine_similarity(g.flatten(), t.flatten(), dim=0) for t in tried]
        best = max(range(len(tried)), key=lambda nth: float(cosines[nth]))
        return Gradient(tried[best], tried[best], self.rate(1.0 - float(cosines[best])))

    def rate(self, deviation: float) -> float:
        """The factor on it."""
        return float(max(torch.tensor(-self.alpha * deviation).exp(), self.beta))


class Dai8:
    """A range per output channel, by the kind of its distribution."""

    def __init__(self, share: float, k: float, a: float) -> None:
        self.share, self.k, self.a = share, k, a
        self.ranges: dict[str, torch.Tensor] = {}
        self.kinds: set[bool] = set()

    def __call__(self, name: str, g: torch.Tensor) -> Gradient:
        axes = [axis for axis in range(g.dim()) if axis != 1]
        most, sigma = g.abs().amax(axes), g.pow(2).mean(axes, keepdim=True).sqrt()
        gaussian = (g.abs() > sigma).double().mean(axes) > self.share
        self.kinds |= set(gaussian.tolist())
        before = self.ranges.get(name, most)
        follows = (1 - self.k * self.a) * before + self.a * most
        self.ranges[name] = torch.where(gaussian, most, follows)
        of_channels = self.ranges[name].view(-1, *[1] * (g.dim() - 2))
        return Gradient(rounded(g, of_channels), rounded(g))


class _Changed(torch.autograd.Function):
    """The identity, with a gradient that a function changes."""

    @staticmethod
    def forward(ctx: Any, t: torch.Tensor, change: Any) -> torch.Tensor:
        ctx.change = change
        return t.clone()

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return ctx.change(g), None


class _Normalised(torch.autograd.Function):
    """Batch normalisation that has its output rounded when its gradient is computed."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        axes = [0, *range(2, x.dim())]
        inverse = (x.var(axes, unbiased=False, keepdim=True) + epsilon).rsqrt()
        normal = (x - x.mean(axes, keepdim=True)) * inverse
        gain = gain.view(inverse.shape)
        ctx.save_for_backward(rounded(normal), gain, inverse)
        return normal * gain + shift.view(gain.shape)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        normal, gain, inverse = ctx.saved_tensors
        axes = [0, *range(2, dy.dim())]
        mean, share = dy.mean(axes, keepdim=True), (dy * normal).mean(axes, keepdim=True)
        dx = gain * inverse * (dy - mean - normal * share)
        return dx, (dy * normal).sum(axes), dy.sum(axes), None


def gradients(
    model: UnitNet, x: torch.Tensor, y: torch.Tensor, held: Tensors, rule: Rule
) -> dict[str, torch.Tensor]:
    """Of every parameter the gradient times its factor on the rate.

    Args:
        model: The net.
        x: Samples.
        y: Labels.
        held: What the net holds: integers and scales of weights, and other parameters.
        rule: What becomes of gradients.
    """
    own = {name: tensor.double() for name, tensor in held.items()}
    for name in [name for name in own if name.endswith(".integers")]:
        weight = name.removesuffix(".integers")
        own[weight] = own[name] * own[f"{weight}.scale"]
    leaves = {name: t for name, t in own.items() if name.endswith(_PARAMETERS)}
    for leaf in leaves.values():
        leaf.requires_grad_()

    def layer_of(layer: Layer, h: torch.Tensor, at: str) -> torch.Tensor | None:
        if isinstance(layer, BatchNorm):
            return _Normalised.apply(h, own[f"{at}.gain"], own[f"{at}.shift"], layer.epsilon)
        if not isinstance(layer, Convolution | Dense):
            return None
        w, b = own[f"{at}.weight"], own.get(f"{at}.bias")
        h_rounded = h + (rounded(h) - h).detach()
        seen: list[Gradient] = []  # a rule sees a gradient once

        def part(which: str) -> Callable[[torch.Tensor], torch.Tensor]:
            def change(g: torch.Tensor) -> torch.Tensor:
                if not seen:
                    seen.append(rule(at, g))
                if which == "input":
                    return seen[0].for_input
                return (seen[0].for_weight if which == "weight" else g) * seen[0].rate

            return change

        for_input = _Changed.apply(product(layer, h_rounded, w.detach()), part("input"))
        for_weight = _Changed.apply(product(layer, h_rounded.detach(), w), part("weight"))
        z = for_input + for_weight - for_weight.detach()
        if b is None:
            return z
        of_bias = b.view(-1, *[1] * (z.dim() - 2)).expand_as(z)
        return z + _Changed.apply(of_bias, part("bias"))

    logits = forward(model, x.double(), own, training=True, own=layer_of)
    functional.cross_entropy(logits, y).backward()
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


_PARAMETERS = (".weight", ".bias", ".gain", ".shift")


def product(layer: Convolution | Dense, h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """A convolution or a dense layer without its bias."""
    if isinstance(layer, Dense):
        return functional.linear(h.flatten(1), w)
    return functional.conv2d(h, w, None, layer.stride, layer.padding, 1, layer.groups)
