"""What the transcriptions have in common: float64 NumPy, and no code of the project.

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def sigmoid(t: Array) -> Array:
    small = np.exp(-np.abs(t))
    return np.where(t >= 0, 1.0, small) / (1.0 + small)


def softmax(a_BC: Array) -> Array:
    exp_BC = np.exp(a_BC - a_BC.max(1, keepdims=True))
    return exp_BC / exp_BC.sum(1, keepdims=True)


def one_hot(y_B: Array, classes: int) -> Array:
    return np.eye(classes)[y_B]


def output_error(a_BC: Array, y_B: Array) -> Array:
    """The gradient of the mean cross-entropy with respect to the logits: (softmax(a) - y*) / B."""
    return (softmax(a_BC) - one_hot(y_B, a_BC.shape[1])) / len(y_B)


def cross_entropy(a_BC: Array, y_B: Array) -> float:
    """Its mean over the batch."""
    return float(-np.log(softmax(a_BC)[np.arange(len(y_B)), y_B]).mean())


def sign(t: Array) -> Array:
    """+1 or -1: the sign of 0 is +1, since a bit has two values."""
    return np.where(t >= 0, 1.0, -1.0)


def mean_abs(t: Array) -> float:
    return float(np.abs(t).mean())


def product(h_BI: Array, w_OI: Array) -> Array:
    """h w^T, with the scales of two-valued operands taken out, so that exact ties stay exact."""
    h_B1, w = np.abs(h_BI).max(1, keepdims=True), np.abs(w_OI).max()
    return (h_BI / np.where(h_B1 > 0, h_B1, 1.0)) @ (w_OI / w).T * (h_B1 * w)


class Sgd:
    """m <- mu m + g, p <- p - lr m (Polyak 1964; Sutskever et al., ICML 2013, without the lr in m).

    Without momentum there is no m.
    """

    def __init__(self, lr: float, momentum: float = 0.0) -> None:
        self.lr = lr
        self.momentum = momentum
        self.state: dict[str, Array] = {}

    def add(self, name: str, parameter: Array) -> None:
        """A parameter whose state is zero from now on."""
        if self.momentum:
            self.state[f"{name}.momentum"] = np.zeros_like(parameter)

    def begin_step(self) -> None:
        pass

    def update(self, name: str, parameter: Array, gradient: Array) -> None:
        """In place."""
        if self.momentum:
            m = self.state[f"{name}.momentum"]
            m[...] = self.momentum * m + gradient
            gradient = m
        parameter[...] = parameter - self.lr * gradient


class Adam:
    """Kingma & Ba, ICLR 2015, algorithm 1, with the paper's constants."""

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.t = 0
        self.state: dict[str, Array] = {}

    def add(self, name: str, parameter: Array) -> None:
        self.state[f"{name}.mean"] = np.zeros_like(parameter)
        self.state[f"{name}.square"] = np.zeros_like(parameter)

    def begin_step(self) -> None:
        self.t += 1

    def update(self, name: str, parameter: Array, gradient: Array) -> None:
        m, v = self.state[f"{name}.mean"], self.state[f"{name}.square"]
        m[...] = 0.9 * m + 0.1 * gradient
        v[...] = 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
        parameter[...] = parameter - self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


Optimiser = Sgd | Adam


def optimiser(options: Mapping[str, Any], *, momentum: float = 0.9, lr: float = 0.0) -> Optimiser:
    """The update rule that options of the project ask for, with its defaults for the rest."""
    rate = options.get("lr", lr)
    if options.get("optimizer") == "adam":
        return Adam(rate)
    return Sgd(rate, options.get("momentum", momentum))


class Transcription:
    """A rule: its parameters, float64, and one step.

    Attributes:
        p: Parameters by the names that the project has for them.
        optimiser: The update rule, with a state per trained parameter.
        scales: How the names begin of what has to be right by itself, not only in its change.
    """

    scales: tuple[str, ...] = ("scale",)

    def __init__(self, parameters: Mapping[str, Array], optimiser: Optimiser) -> None:
        self.p: Arrays = {name: np.array(t, np.float64) for name, t in parameters.items()}
        self.optimiser = optimiser
        for name, parameter in self.p.items():
            optimiser.add(name, parameter)

    @property
    def layers(self) -> int:
        """Layers with a weight, numbered from 1."""
        return sum(name.startswith("w") for name in self.p)

    def begin_pass(self, number: int) -> None:
        """Pass ``number`` over the data, from 0."""

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        """One batch; ``draws`` are the step's random numbers."""
        raise NotImplementedError

    def update(self, name: str, gradient: Array) -> None:
        self.optimiser.update(name, self.p[name], gradient)

    def values(self) -> Arrays:
        """Everything that is compared."""
        return self.p | self.optimiser.state
