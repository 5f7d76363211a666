"""How long a step of Forward-Forward takes beside one written in the usual way.

``pytest tests/benchmarks/test_forward_forward_speed.py --benchmark-only -o addopts=""
-p no:cacheprovider``

The usual way is that of loeweX/Forward-Forward, in words of our own: both passes as one batch of
twice the rows, the losses of all layers and of a classifier on detached activities in one sum,
autograd, and torch's SGD with momentum and weight decay. All run in turns in one process, by the
CPU time of the thread.

How much there is to skip depends on what the net has learnt: ``drawn`` holds the weights where they
were drawn, where half of all units speak; ``trained`` is after 60 steps.

Shape suffixes: R rows of both passes, B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.benchmarks import conclude, threads
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.data import load_dataset
from trainfit.bench.environment import describe_environment

NET, WIDTHS = "mlp-784-2000x4-10", (784, 2000, 2000, 2000, 2000)
ROWS, TARGET = 100, 2.0
ROUNDS = 15
OURS = {
    "sequential": {},
    "joint": {"passes": "joint"},
    "joint, classifier, peers": {"passes": "joint", "score": "head", "peer": 0.03},
    "autograd": {"implementation": "autograd"},
}


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """The digits of scikit-learn as 28 by 28 pixels: three times as large, with a margin."""
    data = load_dataset("digits", None)
    small = data.train_x.view(-1, 8, 8)
    large = small.repeat_interleave(3, 1).repeat_interleave(3, 2)
    return functional.pad(large, (2, 2, 2, 2)).flatten(1), data.train_y


class FullGradient(torch.autograd.Function):
    """A rectifier that hands every gradient on."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clone()


class UsualStep:
    """Forward-Forward with one loss for all layers, differentiated by autograd."""

    def __init__(self, lr: float) -> None:
        self.layers = [torch.nn.Linear(i, o) for i, o in pairwise(WIDTHS)]
        self.running = [torch.full((o,), 0.5) for o in WIDTHS[1:]]
        self.classifier = torch.nn.Linear(sum(WIDTHS[2:]), 10, bias=False)
        for layer in self.layers:
            torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            torch.nn.init.zeros_(layer.bias)
        hidden = [p for layer in self.layers for p in layer.parameters()]
        groups = [
            {"params": hidden, "lr": lr, "weight_decay": 3e-4},
            {"params": list(self.classifier.parameters()), "lr": 10 * lr, "weight_decay": 3e-3},
        ]
        self.optimiser = torch.optim.SGD(groups, momentum=0.9)

    @staticmethod
    def labelled(x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        x = x.clone()
        x[:, :10] = 0.1 if y is None else functional.one_hot(y, 10).float()
        return x

    @staticmethod
    def scaled(h: torch.Tensor) -> torch.Tensor:
        return h / (h.square().mean(1, keepdim=True).sqrt() + 1e-8)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        wrong = (y + torch.randint(1, 10, y.shape)) % 10
        h = self.scaled(torch.cat((self.labelled(x, y), self.labelled(x, wrong))))
        truth = torch.cat((torch.ones(len(x)), torch.zeros(len(x))))
        loss = torch.zeros(())
        for number, layer in enumerate(self.layers):
            z = FullGradient.apply(layer(h))
            mean = 0.9 * self.running[number].detach() + 0.1 * z[: len(x)].mean(0)
            self.running[number] = mean
            loss = loss + 0.03 * (mean - mean.mean()).square().mean()
            excess = z.square().sum(1) - z.shape[1]
            loss = loss + functional.binary_cross_entropy_with_logits(excess, truth)
            h = self.scaled(z.detach())
        with torch.no_grad():
            h, activities = self.scaled(self.labelled(x, None)), []
            for layer in self.layers:
                h = self.scaled(layer(h).clamp(min=0))
                activities.append(h)
        logits = self.classifier(torch.cat(activities[1:], 1))
        loss = loss + functional.cross_entropy(logits, y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def interval(theirs: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios with its 95 % bootstrap interval."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    draws = random.Random(0)
    medians = sorted(statistics.median(draws.choices(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[50], medians[-51]


@pytest.mark.parametrize("state", ["drawn", "trained"])
def test_beside_the_usual_way(benchmark: Any, request: pytest.FixtureRequest, state: str) -> None:
    """4 x 2000 at batch 100, one thread."""
    x, y = images()
    lr, warm = (1e-12, 2) if state == "drawn" else (1e-3, 60)
    usual = UsualStep(lr)
    steps: dict[str, Callable[[torch.Tensor, torch.Tensor], None]] = {"usual": usual.step}
    for name, options in OURS.items():
        settings = {"lr": lr if name == "sequential" else lr / 2, **options}
        steps[name] = build_algorithm("forward_forward", NET, settings).step
    draws = torch.Generator().manual_seed(0)
    seconds: dict[str, list[float]] = {name: [] for name in steps}

    def a_round(*, timed: bool) -> None:
        chosen = torch.randint(0, len(x), (ROWS,), generator=draws)
        for name, step in steps.items():
            start = time.thread_time()
            step(x[chosen], y[chosen])
            if timed:
                seconds[name].append(time.thread_time() - start)

    with threads(1):
        for _ in range(warm):
            a_round(timed=False)
        benchmark.pedantic(lambda: a_round(timed=True), rounds=ROUNDS)
    figures = {}
    for name in OURS:
        ratio, low, high = interval(seconds["usual"], seconds[name])
        figures[f"usual over {name}"] = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    machine = describe_environment()["machine"]
    milliseconds = {name: round(1e3 * statistics.median(s), 1) for name, s in seconds.items()}
    conclude(
        request,
        benchmark,
        weights=state,
        processor=f"{machine['cpu']}, {machine['cpu_capability']}",
        milliseconds=milliseconds,
        target=TARGET,
        **figures,
    )
    assert set(milliseconds) == {"usual", *OURS}
