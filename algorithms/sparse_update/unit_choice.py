"""The parameters of a net of units that ``sparse_update`` trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from trainfit.algorithms.blocks.block import Chosen, Held
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.nets.layer_numbers import numbers_in
from trainfit.algorithms.nets.units import Units
from trainfit.algorithms.sparse_update.options import CHOSEN, Part, SparseUpdateOptions


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution or dense layer.

    Attributes:
        weight: Its weight.
        bias: The shift of the normalisation after it; where there is none, its bias, if it has one.
    """

    weight: Held
    bias: Held | None = None

    @property
    def name(self) -> str:
        """As the names of its tensors begin."""
        return self.weight.name.removesuffix(".weight")


def weighted_layers(units: Units) -> tuple[WeightedLayer, ...]:
    """All of a net, in the order in which they are built."""
    return tuple(layer for chain in units.chains for layer in _layers_of(chain.held()))


def _layers_of(held: Iterator[Held]) -> list[WeightedLayer]:
    """Those of one unit: what follows a weight, up to the next, is its layer's."""
    found: list[WeightedLayer] = []
    for each in held:
        kind = each.name.rpartition(".")[2]
        if kind == "weight":
            found.append(WeightedLayer(each))
        elif kind in {"bias", "shift"} and found:
            found[-1] = replace(found[-1], bias=each)
    return found


def choose_in(units: Units, model: str, options: SparseUpdateOptions) -> Chosen:
    """Read the options of ``sparse_update``.

    Args:
        units: The net.
        model: Its name, for messages.
        options: Which layers, biases and parts.

    Raises:
        ConfigurationError: A layer that does not exist, one without a bias, nothing to train, or an
            empty part.
    """
    layers = weighted_layers(units)
    read = partial(numbers_in, count=len(layers), name=model, rule="sparse_update")
    weights = read(options.layers, option="layers")
    if options.biases == CHOSEN:
        lowest = min(weights, default=len(layers) + 1)
        biases = frozenset(range(lowest, len(layers) + 1))
    else:
        biases = read(options.biases, option="biases", also=CHOSEN)
        _check_biases(layers, biases, model, options.biases)
    chosen: dict[str, torch.Tensor] = {}
    for number, layer in enumerate(layers, start=1):
        if number in weights:
            chosen[layer.weight.name] = _part(layer, number, model, options)
        if number in biases and layer.bias is not None:
            chosen[layer.bias.name] = layer.bias.tensor
    if not chosen:
        raise ConfigurationError(
            f"sparse_update: layers={options.layers!r} with biases={options.biases!r} trains"
            f" nothing of {model!r}; choose a layer, or biases=all"
        )
    return chosen


def _check_biases(
    layers: tuple[WeightedLayer, ...], biases: frozenset[int], model: str, text: str
) -> None:
    """Refuse the number of a layer without a bias; ``all`` and ``last:N`` pass over them."""
    for number in sorted(biases) if text[0].isdigit() else ():
        layer = layers[number - 1]
        if layer.bias is None:
            raise ConfigurationError(
                f"sparse_update: biases={text!r}, but layer {number} of {model!r}, {layer.name},"
                " has no bias and no normalisation; leave it out"
            )


def _part(
    layer: WeightedLayer, number: int, model: str, options: SparseUpdateOptions
) -> torch.Tensor:
    """The trained part of a weight (outputs, inputs per group, ...), a view."""
    weight, groups = layer.weight.tensor, layer.weight.groups
    outputs, inputs = weight.shape[:2]
    what, whole = str(options.part), outputs if options.part is Part.OUTPUTS else inputs
    if groups > 1:
        what, whole = "groups", groups
    count = int(whole * options.ratio)
    if not count:
        raise ConfigurationError(
            f"sparse_update: ratio={options.ratio:g} of the {whole} {what} of layer {number} of"
            f" {model!r}, {layer.name}, is none; use at least {1 / whole:.3g}"
        )
    if groups > 1:
        return weight[: count * (outputs // groups)]
    return weight[:count] if options.part is Part.OUTPUTS else weight[:, :count]
