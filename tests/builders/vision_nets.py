"""Residual nets as vision libraries have them, of any width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class Basic(nn.Module):
    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(made)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or given != made:
            conv = nn.Conv2d(given, made, 1, stride, bias=False)
            self.skip = nn.Sequential(conv, nn.BatchNorm2d(made))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        h += self.skip(x)
        out: torch.Tensor = self.relu(h)
        return out


def resnet18(width: int = 64) -> nn.Module:
    blocks: list[nn.Module] = []
    given = width
    for factor, stride in ((1, 1), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        blocks.append(Basic(given, width * factor, stride))
        given = width * factor
    stem = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, 10)]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *head)


def _conv(
    given: int, made: int, *, size: int = 1, stride: int = 1, groups: int = 1, act: nn.Module | None
) -> nn.Sequential:
    conv = nn.Conv2d(given, made, size, stride, (size - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), *([act] if act else []))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.up = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.silu(self.down(functional.adaptive_avg_pool2d(x, 1)), inplace=True)
        return torch.sigmoid(self.up(h)) * x


class Inverted(nn.Module):
    def __init__(
        self, given: int, made: int, stride: int, factor: int, size: int, *, squeeze: bool
    ) -> None:
        super().__init__()
        act = nn.SiLU(inplace=True) if squeeze else nn.ReLU6(inplace=True)
        hidden = given * factor
        parts: list[nn.Module] = []
        if factor != 1:
            parts.append(_conv(given, hidden, act=act))
        parts.append(_conv(hidden, hidden, size=size, stride=stride, groups=hidden, act=act))
        if squeeze:
            parts.append(SqueezeExcite(hidden, max(1, given // 4)))
        parts.append(_conv(hidden, made, act=None))
        self.parts = nn.Sequential(*parts)
        self.skips = stride == 1 and given == made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.parts(x)
        return x + out if self.skips else out


def _inverted(
    plan: Sequence[tuple[int, int, int, int, int]], width: int, *, squeeze: bool
) -> nn.Module:
    """A plan's rows: factor, channels for width 32, blocks, stride, size."""
    act = nn.SiLU(inplace=True) if squeeze else nn.ReLU6(inplace=True)
    parts: list[nn.Module] = [_conv(3, width, size=3, stride=2, act=act)]
    given = width
    for factor, channels, blocks, stride, size in plan:
        made = max(1, channels * width // 32)
        for place in range(blocks):
            by = stride if place == 0 else 1
            parts.append(Inverted(given, made, by, factor, size, squeeze=squeeze))
            given = made
    last = 1280 * width // 32
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(last, 10)]
    return nn.Sequential(*parts, _conv(given, last, act=act), *head)


def mobilenet_v2(width: int = 32) -> nn.Module:
    rows = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3)),
        *((6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)),
    )
    return _inverted(rows, width, squeeze=False)


def efficientnet_b0(width: int = 32) -> nn.Module:
    rows = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    )
    return _inverted(rows, width, squeeze=True)
