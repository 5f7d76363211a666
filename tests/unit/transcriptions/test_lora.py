"""LoRA: frozen weights with trained low-rank factors beside them.

Hu et al. (ICLR 2022, arXiv 2106.09685), section 4.1, eq. 3: h = W0 x + (alpha / r) B A x. Written
here with the product B A as one matrix, whose gradient is that of a whole weight.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.arithmetic import Transcription, optimiser, output_error
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    held,
    largest,
    start,
)

MODEL = "mlp-12-16-8-10-4"


class Lora(Transcription):
    def __init__(self, parameters, optimiser, scale, trained):
        self.p = {name: np.array(t, np.float64) for name, t in parameters.items()}
        self.optimiser, self.scale, self.trained = optimiser, scale, trained
        for name in trained:
            optimiser.add(name, self.p[name])

    def weight(self, number):
        """W0 + s B A."""
        w_OI = self.p[f"w{number}"]
        if f"lora_a{number}" not in self.p:
            return w_OI
        return w_OI + self.scale * self.p[f"lora_b{number}"] @ self.p[f"lora_a{number}"]

    def through(self, number):
        return self.weight(number)

    def step(self, x_BI, y_B, *draws):
        self.optimiser.begin_step()
        h = [x_BI]
        for number in range(1, self.layers + 1):
            z_BO = h[-1] @ self.weight(number).T + self.p[f"b{number}"]
            h.append(np.maximum(z_BO, 0.0))
        dz_BO, gradients = output_error(z_BO, y_B), {}
        for number in range(self.layers, 0, -1):
            dw_OI = self.scale * dz_BO.T @ h[number - 1]
            if f"lora_a{number}" in self.p:
                gradients[f"lora_a{number}"] = self.p[f"lora_b{number}"].T @ dw_OI
                gradients[f"lora_b{number}"] = dw_OI @ self.p[f"lora_a{number}"].T
            gradients[f"b{number}"] = dz_BO.sum(0)
            dz_BO = dz_BO @ self.through(number) * (h[number - 1] > 0)
        for name in self.trained:
            self.update(name, gradients[name])


def factors(layers):
    return [f"lora_{factor}{n}" for n in layers for factor in "ab"]


CASES = [
    ({}, factors("1234")),
    ({"rank": 2, "alpha": 6.0, "momentum": 0.0, "lr": 0.1}, factors("1234")),
    ({"layers": "2,3", "biases": "last:1", "optimizer": "adam"}, [*factors("23"), "b4"]),
    (
        {"layers": "last:1", "biases": "all", "frozen": "flash"},
        [*factors("4"), "b1", "b2", "b3", "b4"],
    ),
    ({"rank": 20, "alpha": 10.0}, factors("1234")),
]


def compared(options, trained, kind=Lora):
    options = {"lr": 0.02 if options.get("optimizer") == "adam" else 0.3} | options
    algorithm = start("lora", MODEL, options)
    for each in algorithm.static_tensors():  # of zeros, A would hardly move at first
        if each.name.startswith("lora_b") and "." not in each.name:
            each.tensor.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(0))
    parameters = {name: t for name, t in held(algorithm).items() if "." not in name}
    scale = options.get("alpha", 4.0) / options.get("rank", 4)
    return deviations(algorithm, kind(parameters, optimiser(options), scale, trained))


def moved(found, trained):
    """Of what is trained; what is not must not deviate at all."""
    assert not any(off for name, off in found.items() if name.partition(".")[0] not in trained)
    return largest({name: off for name, off in found.items() if name.partition(".")[0] in trained})


@pytest.mark.parametrize(("options", "trained"), CASES, ids=str)
def test_lora(options, trained):
    assert moved(compared(options, trained), trained) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class WithoutFactors(Lora):
    """The gradient goes back through the frozen weight alone."""

    def through(self, number):
        return self.p[f"w{number}"]


class Unscaled(Lora):
    def __init__(self, parameters, optimiser, scale, trained):
        super().__init__(parameters, optimiser, 1.0, trained)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, WithoutFactors), ({"rank": 2}, Unscaled)],
    ids=["W alone", "no scale"],
)
def test_a_slip_is_noticed(options, kind):
    assert moved(compared(options, factors("1234"), kind), factors("1234")) > NOTICED
