"""How fast a step of TinyFoA is as described, beside its authors' code.

``pytest tests/benchmarks/test_tinyfoa_speed.py --benchmark-only -o addopts="" -p no:cacheprovider``

Net, layer and batch are those of the paper: 784-2000x4, the second hidden layer, 100 samples. Two
steps stand for the authors' code, which is not part of this repository: ``variant=released``, and
``as_written``, the same step with the temporaries that a straightforward autograd function makes.
All run in turn on one thread, on CPU time, which other processes do not add to; a ratio is that of
two neighbours in one turn, its figure the median with the 95 % interval of the bootstrap.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.benchmarks import conclude, threads
from tests.reference_methods import batch
from trainfit.algorithms import build_algorithm
from trainfit.bench.environment import describe_environment
from trainfit.bench.statistics import median_interval
from trainfit.bench.trace.prediction import predict

NET, ROWS, STAGE, TURNS = "mlp-784-2000x4-10", 100, 1, 25

TARGETS = {"described": 10.0, "fused": 8.0, "cached": 15.0}
"""Times as fast as the authors' step."""

FORMS: dict[str, dict[str, Any]] = {
    "described": {},
    "fused": {"update": "fused"},
    "cached": {"features": "cached"},
    "released": {"variant": "released"},
}

LIMITS = {"described": 4_533_004, "fused": 877_520, "cached": 4_533_000}
"""Peak dynamic bytes, which speed must not cost."""


class _Binarise(torch.autograd.Function):
    """mean(abs(t)) sign(t), the gradient cut at 1, every intermediate a tensor."""

    @staticmethod
    def forward(ctx: Any, t: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(t)
        scale = t.abs().mean()
        return t.clone().div(scale).sign().mul(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (t,) = ctx.saved_tensors
        gradient = gradients[0].clone()
        gradient[t.abs() >= 1] = 0
        return gradient


class AsWritten:
    """Dense training of the second layer; gradients live until the next step clears them."""

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        self.layers = [
            (
                torch.nn.Parameter((2 * torch.rand(2000, i, generator=draws) - 1) * i**-0.5),
                torch.nn.Parameter((2 * torch.rand(2000, generator=draws) - 1) * i**-0.5),
            )
            for i in (784, 2000)
        ]
        self.head_CO = torch.randn(10, 2000, generator=draws) * 1000**-0.5
        self.adam = torch.optim.Adam(self.layers[STAGE], lr=1e-4)
        self.x, self.y = batch(NET, ROWS)

    def _layer(self, h: torch.Tensor, index: int) -> torch.Tensor:
        w_OI, b_O = self.layers[index]
        z_BO = h @ _Binarise.apply(w_OI).t()
        return torch.relu(_Binarise.apply(z_BO + b_O.expand_as(z_BO)))

    def step(self) -> None:
        """One update of all but a diagonal block."""
        with torch.no_grad():
            h = self._layer(self.x, 0)
        loss = functional.cross_entropy(self._layer(h, STAGE) @ self.head_CO.t(), self.y)
        self.adam.zero_grad()
        loss.backward()
        weights = self.layers[STAGE][0].data
        kept = weights[:1000, :1000].clone()
        self.adam.step()
        weights[:1000, :1000] = kept
        for parameters in self.layers:
            for parameter in parameters:
                parameter.data.clamp_(-1, 1)


def _steps() -> tuple[dict[str, Callable[[], None]], dict[str, int]]:
    """A step of every form, and the peaks of their predictions."""
    steps: dict[str, Callable[[], None]] = {"as_written": AsWritten().step}
    peaks = {}
    for name, options in FORMS.items():
        algorithm = build_algorithm("tinyfoa", NET, options)
        algorithm.enter_stage(STAGE)
        x, y = batch(NET, ROWS)
        x = algorithm.stage_data(x)
        steps[name] = lambda rule=algorithm, x=x, y=y: rule.step(x, y)  # type: ignore[misc]
        peaks[name] = predict(algorithm, ROWS).peak_bytes
    return steps, peaks


def test_tinyfoa_beside_its_authors_step(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Described, fused and cached, each over the two that stand for the authors' code."""
    steps, peaks = _steps()
    seconds: defaultdict[str, list[float]] = defaultdict(list)

    def turn() -> None:
        for name, step in steps.items():
            start = time.thread_time()
            step()
            seconds[name].append(time.thread_time() - start)

    with threads(1):
        turn()
        turn()
        seconds.clear()
        benchmark.pedantic(turn, rounds=TURNS)

    figures: dict[str, Any] = {"processor": describe_environment()["machine"]["cpu"]}
    for name in steps:
        figures[f"{name}_milliseconds"] = 1e3 * sorted(seconds[name])[TURNS // 2]
    for name, target in TARGETS.items():
        for other in ("as_written", "released"):
            ratios = [a / b for a, b in zip(seconds[other], seconds[name], strict=True)]
            low, high = median_interval(ratios)
            middle = sorted(ratios)[TURNS // 2]
            figures[f"{other}_over_{name}"] = f"{middle:.1f} ({low:.1f} to {high:.1f})"
        figures[f"as_written_over_{name}_target"] = target
        figures[f"{name}_bytes"] = peaks[name]
    conclude(request, benchmark, **figures)
    assert all(peaks[name] <= limit for name, limit in LIMITS.items())
