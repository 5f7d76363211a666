"""L-BFGS goes by values: told those of a real call, a prediction is what is measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import trainfit


class Reads(TorchDispatchMode):
    """Writes down the values that Python is given."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._local_scalar_dense.default:
            self.values.append(result)
        return result


def test_lbfgs_told_what_it_read_needs_what_is_measured() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 1))
    x, y = torch.rand(50, 20), torch.rand(50, 1)
    trainer = torch.optim.LBFGS(model.parameters(), max_iter=4, history_size=3)

    def closure() -> torch.Tensor:
        trainer.zero_grad()
        loss = functional.mse_loss(model(x), y)
        loss.backward()
        return loss.detach()

    def step() -> None:
        trainer.step(closure)
        trainer.zero_grad()

    for _ in range(3):
        step()
    with Reads() as reads:
        step()
    predicted = trainfit.predict_step(step, told=reads.values, warmup=4)
    measured = trainfit.profile_step(step, repeats=1)
    assert predicted.peak_dynamic_bytes == measured.peak_dynamic_bytes
    assert predicted.static_bytes == measured.static_bytes
    assert predicted.ram_bytes == measured.ram_bytes
