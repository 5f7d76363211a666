"""The parameters that ``sparse_update`` trains, and how deep the gradient has to go for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.layer_numbers import layer_numbers
from trainfit.algorithms.sparse_update.options import CHOSEN, Part


@dataclass(frozen=True)
class Choice:
    """The trained parameters, layers counted from 1.

    Attributes:
        model: The net.
        weights: Layers whose weight is trained, whole or in part.
        biases: Layers whose bias is trained.
        columns: Inputs of every chosen weight that are trained, by layer.
        rows: Outputs of every chosen weight that are trained, by layer.
    """

    model: Mlp
    weights: frozenset[int]
    biases: frozenset[int]
    columns: dict[int, int]
    rows: dict[int, int]

    @property
    def lowest(self) -> int:
        """The lowest layer with a trained parameter; no gradient goes below it."""
        return min(self.weights | self.biases)

    @property
    def names(self) -> frozenset[str]:
        """Names of the trained parameters."""
        return frozenset({f"w{n}" for n in self.weights} | {f"b{n}" for n in self.biases})

    def is_split(self, number: int) -> bool:
        """Whether the weight of a layer is trained in part."""
        whole = self.model.layers[number - 1]
        return number in self.weights and (self.columns[number], self.rows[number]) != whole

    def border(self, number: int) -> int:
        """The first input or output of a split weight that is not trained."""
        inputs, _ = self.model.layers[number - 1]
        columns = self.columns[number]
        return columns if columns < inputs else self.rows[number]


def choose(model: Mlp, layers: str, biases: str, ratio: float, part: Part) -> Choice:
    """Read the options of ``sparse_update``.

    Args:
        model: The net.
        layers: ``all``, ``none``, ``last:N`` or numbers such as ``1,3``.
        biases: The same, or ``chosen``: every layer from the lowest chosen weight up.
        ratio: Fraction of a chosen weight's inputs or outputs, rounded down.
        part: Inputs or outputs.

    Raises:
        ConfigurationError: A layer that does not exist, nothing to train, or an empty part.
    """
    read = partial(layer_numbers, model, rule="sparse_update")
    weights = read(layers, option="layers")
    if biases == CHOSEN:
        chosen = frozenset(range(min(weights), len(model.layers) + 1)) if weights else weights
    else:
        chosen = read(biases, option="biases", also=CHOSEN)
    if not weights | chosen:
        raise ConfigurationError(
            f"sparse_update: layers={layers!r} with biases={biases!r} trains nothing;"
            " choose a layer, or biases=all"
        )
    columns, rows = {}, {}
    for number in sorted(weights):
        inputs, outputs = model.layers[number - 1]
        columns[number] = int(inputs * ratio) if part is Part.INPUTS else inputs
        rows[number] = int(outputs * ratio) if part is Part.OUTPUTS else outputs
        if not columns[number] or not rows[number]:
            width = inputs if part is Part.INPUTS else outputs
            raise ConfigurationError(
                f"sparse_update: ratio={ratio:g} of the {width} {part} of layer {number} of"
                f" {model.name!r} is none; use at least {1 / width:.3g}"
            )
    return Choice(model, weights, chosen, columns, rows)
