"""LoRA: the weights stay as they are, low-rank factors beside them are trained.

Hu et al., ICLR 2022, arXiv 2106.09685, eq. 3; of every adapted layer n, with s = alpha / r::

    z_n = h_(n-1) W_n^T + b_n + s (h_(n-1) A_n^T) B_n^T        A_n (r, I) Gaussian, B_n (O, r) zero
    dB_n = dz_n^T p_n                                          p_n = s h_(n-1) A_n^T is stored
    dA_n = q_n^T h_(n-1)                                       q_n = s dz_n B_n; the input is stored
    dz_(n-1) = (dz_n W_n + q_n A_n) . 1[h_(n-1) > 0]

What a step stores is what these need: the input of every adapted layer and its product p_n of r
columns; one bit per unit for rectifiers that a gradient passes below a layer without an adapter;
nothing below the lowest trained parameter. So the activations are those of backpropagation with an
adapter on every layer, and r columns more: what is saved is the gradients and the optimiser's
state, which only factors and trained biases have. A layer is updated as soon as its gradient has
been propagated.

* ``layers``: those with an adapter.
* ``biases``: those whose bias is trained; the paper's are frozen.
* ``alpha``: the paper keeps it at the first rank that is tried.
* ``frozen``: whether parameters that are only read are in RAM or in flash.

Where the paper is silent: the variance of A is 1 / I, so that ``h A^T`` is of the size of h. The
factors are not merged into W (the paper merges them for inference), since W may be in flash. The
frozen weights are newly drawn, the same as backpropagation's of that seed, where the paper's are
pre-trained: bytes and arithmetic are the same, accuracies say nothing of fine-tuning.

Shape suffixes: B batch, I inputs and O outputs of a layer, R rank.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.lora.options import LORA, LoraOptions
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.nets.layer_numbers import layer_numbers
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.sparse_update.options import Frozen
from trainfit.algorithms.sparse_update.stored_input import (
    Kept,
    keep,
    through_rectifier_,
)


class Lora(FullyConnected[LoraOptions], about=LORA):
    """Closed-form gradients of low-rank factors, on a rectifier net."""

    storage_note = "steps read these frozen weights there; nothing writes them"

    def __init__(self, model: Mlp, options: LoraOptions, *, seed: int = 0) -> None:
        # first, since allocating the optimiser's state asks for it
        self._adapted = layer_numbers(model, options.layers, rule=self.name, option="layers")
        self._biases = layer_numbers(model, options.biases, rule=self.name, option="biases")
        if not self._adapted | self._biases:
            raise ConfigurationError(
                f"lora: layers={options.layers!r} with biases={options.biases!r} trains nothing;"
                " choose a layer, such as layers=last:1"
            )
        self._lowest = min(self._adapted | self._biases)
        self._scale = options.alpha / options.rank
        super().__init__(model, options, seed=seed)
        for number in sorted(self._adapted):  # after the weights, so that these are backprop's
            self._add_adapter(number)

    # ---- the parameters ---------------------------------------------------------------------

    def _add_adapter(self, number: int) -> None:
        (inputs, outputs), rank = self.model.layers[number - 1], self.options.rank
        a_RI = torch.empty(rank, inputs).normal_(0.0, inputs**-0.5, generator=self.generator)
        b_OR = torch.zeros(outputs, rank)
        for name, factor in ((f"lora_a{number}", a_RI), (f"lora_b{number}", b_OR)):
            self._parameters[name] = factor
            self._optimiser.add(name, factor)

    def _is_trained(self, name: str) -> bool:
        return name.startswith("lora") or (name[0] == "b" and int(name[1:]) in self._biases)

    def _in_storage(self, name: str) -> bool:
        return self.options.frozen is Frozen.FLASH and not self._is_trained(name)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the factors, the last layer first."""
        self._optimiser.begin_step()
        layers = len(self.model.layers)
        kept: list[tuple[Kept, torch.Tensor | None]] = []
        with torch.no_grad():
            with phase("forward"):
                h_BI = x
                for number in range(1, layers + 1):
                    below = self._keep(h_BI, number)
                    h_BI, p_BR = self._layer(h_BI, number)
                    kept.append((below, p_BR))
                    if number < layers:
                        h_BI.relu_()
                    del below, p_BR
            with phase("gradient"):
                dz_BO = logit_gradient_(h_BI, y, self.options.loss)
                del h_BI
            for number in range(layers, self._lowest - 1, -1):
                below, p_BR = kept.pop()
                with phase("gradient"):  # before this layer is updated
                    q_BR = self._through_b(dz_BO, number)
                    dh_BI = None
                    if number > self._lowest:
                        dh_BI = self._input_gradient(dz_BO, q_BR, number)
                        through_rectifier_(dh_BI, below)
                self._update(number, dz_BO, below.h_BK, p_BR, q_BR)
                if dh_BI is not None:
                    dz_BO = dh_BI
                del below, p_BR, q_BR, dh_BI

    def _keep(self, h_BI: torch.Tensor, number: int) -> Kept:
        columns = h_BI.shape[1] if number in self._adapted else 0
        return keep(h_BI, columns, masked=number > self._lowest, copied=False)

    def _layer(self, h_BI: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pre-activation, shape (B, O), and p, shape (B, R), where there is an adapter."""
        w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        z_BO = functional.linear(h_BI, w_OI, b_O)
        if number not in self._adapted:
            return z_BO, None
        a_RI, b_OR = self._factors(number)
        p_BR = _scaled_product(h_BI, a_RI.T, self._scale, Category.ACTIVATIONS, f"p{number}")
        return z_BO.addmm_(p_BR, b_OR.T), p_BR

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        return self._layer(h_BI, number)[0]

    def _through_b(self, dz_BO: torch.Tensor, number: int) -> torch.Tensor | None:
        """``q = s dz B``, shape (B, R), where there is an adapter."""
        if number not in self._adapted:
            return None
        _, b_OR = self._factors(number)
        return _scaled_product(dz_BO, b_OR, self._scale, Category.GRADIENTS, f"q{number}")

    def _input_gradient(
        self, dz_BO: torch.Tensor, q_BR: torch.Tensor | None, number: int
    ) -> torch.Tensor:
        """``dz W + q A``, shape (B, I)."""
        dh_BI = dz_BO @ self._parameters[f"w{number}"]
        if q_BR is not None:
            dh_BI.addmm_(q_BR, self._factors(number)[0])
        return dh_BI

    def _update(
        self,
        number: int,
        dz_BO: torch.Tensor,
        h_BI: torch.Tensor | None,
        p_BR: torch.Tensor | None,
        q_BR: torch.Tensor | None,
    ) -> None:
        with phase("update"):
            if number in self._biases:
                self._apply_bias(number, dz_BO)
            if p_BR is not None and q_BR is not None and h_BI is not None:
                a_RI, b_OR = self._factors(number)
                self._optimiser.apply_product(f"lora_b{number}", b_OR, dz_BO.T, p_BR)
                self._optimiser.apply_product(f"lora_a{number}", a_RI, q_BR.T, h_BI)

    def _factors(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A, shape (R, I), and B, shape (O, R)."""
        return self._parameters[f"lora_a{number}"], self._parameters[f"lora_b{number}"]


def _scaled_product(
    left: torch.Tensor, right: torch.Tensor, scale: float, category: Category, name: str
) -> torch.Tensor:
    """``scale left right`` without a second tensor."""
    made = tag(left.new_empty(len(left), right.shape[1]), category, name)
    return made.addmm_(left, right, beta=0, alpha=scale)
