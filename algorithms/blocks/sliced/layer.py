"""Convolution or dense layer of which some output channels are trained in a turn.

The input of a layer is kept as bits if it comes from binary activations: only then is each of its
values 0 or one scale. Nothing is unpacked whole: products see some samples at a time, and the signs
of some output channels. So the columns of a convolution are those of some samples, too, with floats
as with bits.

Shape suffix: b bytes of packed bits of a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainfit.algorithms.blocks.block import (
    NOTHING,
    Block,
    Flow,
    Held,
    Pass,
    Tape,
    Turn,
)
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.blocks.sliced.products import Product
from trainfit.algorithms.blocks.sliced.weight import SlicedWeight
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.numerics.binary.packing import pack_positive, packed_width, unpack
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles

PARTS = 16
"""Samples are taken in about so many parts."""

_SHARE = 8
"""Weights are unpacked, and their gradients added up, in parts of a map's bytes by this; but never
less than a ``PARTS``-th of them."""


_LEAST = 1 << 14
"""Bytes of a part; smaller ones would save little memory and take many calls."""


def samples_at_a_time(samples: int, size: int) -> int:
    """How many go through a product at a time.

    Args:
        samples: The batch.
        size: Values of one of them.
    """
    return min(samples, max(-(-samples // PARTS), _LEAST // (4 * size)))


@dataclass(frozen=True)
class _Packed:
    """A map of zeros and one other value.

    Attributes:
        bits_Nb: Where it is not 0.
        scale: That value, a scalar.
        shape: Of the map.
    """

    bits_Nb: torch.Tensor
    scale: torch.Tensor
    shape: torch.Size


_Map = torch.Tensor | _Packed


class SlicedLayer(Block):
    """``y = w * x + b``, w in float or ``s sign(w)``.

    Args:
        name: The start of the names of its tensors.
        product: What it computes.
        weight: Its initial weight.
        bias: And bias, a value per output channel, if it has one.
        binary: Whether its weight is binary; then the bias is clipped to [-1, 1], too.
    """

    def __init__(
        self,
        name: str,
        product: Product,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        *,
        binary: bool,
    ) -> None:
        self._name, self._product, self._bias = name, product, bias
        self._weight = SlicedWeight(name, weight, binary=binary)
        self._flow, self._is_lowest = Flow(NOTHING), True

    # ---- turns ------------------------------------------------------------------------------

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield from self._weight.held()
        if self._bias is not None:
            yield Held(f"{self._name}.bias", self._bias, Category.PARAMETERS)

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """Its own channels are enough, if nothing below is trained."""
        every = slice(0, len(self._weight))
        rows = self._rows(turn)
        self._weight.enter(rows)
        self._flow, self._is_lowest = flow, flow.wanted == NOTHING
        return Flow(rows if self._is_lowest else every)

    def _rows(self, turn: Turn | None) -> slice:
        if turn is None:
            return NOTHING
        count, parts = len(self._weight), self._product.groups
        rows, size = turn.rows(count), count // parts
        if turn.groups > count:
            raise ConfigurationError(
                f"slices={turn.groups} is more than the {count} output channels of {self._name};"
                f" use at most {count}"
            )
        if parts > 1 and (rows.start % size or rows.stop % size):
            raise ConfigurationError(
                f"slices={turn.groups} cuts through one of the {parts} groups of {self._name}, of"
                f" {size} channels each; use a divisor of {parts}"
            )
        return rows

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The turn's part of weight and bias."""
        yield f"{self._name}.weight", self._weight.trained
        if self._bias is not None:
            yield f"{self._name}.bias", self._bias[self._weight.rows]

    # ---- forward ----------------------------------------------------------------------------

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) or (N, C) to the product's shape."""
        kept: _Map = _packed(x) if self._flow.two_valued else x
        shape, samples = x.shape, len(x)
        del x
        if way.tape is not None:
            way.tape.extend((shape, self._seen_later(kept)))
        y = torch.empty(self._product.output(samples))
        factor = kept.scale if isinstance(kept, _Packed) else None
        for rows in self._tiles(y, slice(0, len(self._weight))):
            weight = self._weight.read(rows, factor)
            bias = None if self._bias is None else self._bias[rows]
            for part in in_tiles(samples, samples_at_a_time(samples, shape[1:].numel())):
                tile = tag(_samples(kept, part), Category.WORKSPACE, "some samples")
                product = self._product.forward(tile, weight, bias)
                y[part, rows] = tag(product, Category.WORKSPACE, "output of some samples")
                del tile, product
            del weight
        return y

    def _seen_later(self, kept: _Map) -> _Map:
        """What the gradient of the weight needs of the input."""
        if isinstance(kept, _Packed) or self._product.groups == 1:
            return kept
        return kept[:, self._seen].clone()

    @property
    def _seen(self) -> slice:
        """Input channels that the trained weights see."""
        groups, inputs = self._product.groups, self._weight.shape[1]
        if groups == 1:
            return slice(0, inputs)
        size, rows = len(self._weight) // groups, self._weight.rows
        return slice(rows.start // size * inputs, rows.stop // size * inputs)

    def _tiles(self, map_of: torch.Tensor, channels: slice) -> Iterator[slice]:
        """The output channels whose weights are copied at a time, if they are.

        Args:
            map_of: Is of the size of the largest tensor at that time.
            channels: All of them.
        """
        first, count = channels.start, channels.stop - channels.start
        size = count
        if self._product.groups == 1 and (self._weight.binary or self._flow.two_valued):
            size = self._rows_at_a_time(map_of, count)
        for tile in in_tiles(count, size):
            yield slice(first + tile.start, first + tile.stop)

    def _rows_at_a_time(self, map_of: torch.Tensor, count: int) -> int:
        fitting = max(map_of.nbytes // _SHARE, _LEAST) // (4 * self._weight.width)
        return min(count, max(fitting, -(-count // PARTS)))

    # ---- backward ---------------------------------------------------------------------------

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of bias and weight, then of the input's wanted channels; updates come last."""
        dy, kept, shape = tape.pop(), tape.pop(), tape.pop()
        rows, weight = self._weight.rows, self._weight
        own = slice(0, rows.stop - rows.start) if self._is_lowest else rows
        reaches = to_input and not self._is_lowest
        db = None
        if self._bias is not None:
            with phase("gradient"):
                db = dy.sum([0, *range(2, dy.dim())])[own]
        if learner.by_rows:
            if reaches:
                with phase("gradient"):
                    tape.append(self._of_input(dy, shape))
            learner.take_rows(
                f"{self._name}.weight",
                weight.trained,
                lambda part: self._of_weight(dy, kept, own, part),
                group=max(1, len(weight) // self._product.groups),
            )
        else:
            with phase("gradient"):
                dw = self._of_weight(dy, kept, own, slice(0, len(weight.trained)))
                del kept
                if reaches:
                    tape.append(self._of_input(dy, shape))
                del dy
            learner.take(f"{self._name}.weight", weight.trained, dw)
            del dw
        if db is not None and self._bias is not None:
            learner.take(f"{self._name}.bias", self._bias[rows], db)
        if learner.at_once:
            with phase("update"):
                self.settle()

    def settle(self) -> None:
        """Clip what is trained of a binary layer, and write its signs and scale."""
        self._weight.follow()
        if self._weight.binary and self._bias is not None:
            self._bias[self._weight.rows].clamp_(-1, 1)

    def _of_weight(self, dy: torch.Tensor, kept: _Map, own: slice, wanted: slice) -> torch.Tensor:
        """The gradient of some of the trained output channels' weights.

        Args:
            dy: Gradient of the output.
            kept: The input, or what was kept of it.
            own: The trained channels in dy.
            wanted: Which of them.
        """
        like, groups = self._weight.trained[wanted], self._product.groups
        dw = torch.zeros(like.shape)
        size = len(dw) if groups > 1 else self._rows_at_a_time(dy, len(dw))
        for rows in in_tiles(len(dw), size):
            start = own.start + wanted.start + rows.start
            channels = slice(start, start + rows.stop - rows.start)
            for part in in_tiles(len(dy), samples_at_a_time(len(dy), kept.shape[1:].numel())):
                x = self._for_rows(_samples(kept, part), kept, wanted)
                dy_part = tag(dy[part, channels].contiguous(), Category.WORKSPACE, "dy of samples")
                self._product.add_of_weight(dw[rows], dy_part, x)
                del x, dy_part
        return dw if not isinstance(kept, _Packed) else dw.mul_(kept.scale)

    def _for_rows(self, x: torch.Tensor, kept: _Map, wanted: slice) -> torch.Tensor:
        """Of some samples, the input channels that some of the trained weights see."""
        groups, inputs = self._product.groups, self._weight.shape[1]
        if groups == 1:
            return x
        size = len(self._weight) // groups
        first = self._seen.start if isinstance(kept, _Packed) else 0
        start, stop = (first + each // size * inputs for each in (wanted.start, wanted.stop))
        return x[:, start:stop].contiguous()

    def _of_input(self, dy: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The gradient of the wanted input channels."""
        channels, groups = self._flow.wanted, self._product.groups
        dx = dy.new_zeros(shape[0], channels.stop - channels.start, *shape[2:])
        for rows in self._tiles(dy, slice(0, len(self._weight))):
            weight = self._weight.read(rows)
            if groups == 1:
                weight = self._product.seen_by(weight, channels)
            for part in in_tiles(len(dy), samples_at_a_time(len(dy), shape[1:].numel())):
                dy_part = dy[part, rows].contiguous()
                extents = (len(dy_part), *(dx.shape[1:] if groups == 1 else shape[1:]))
                of_part = self._product.of_input(dy_part, weight, torch.Size(extents))
                dx[part] += of_part if groups == 1 else of_part[:, channels]
                del dy_part, of_part
            del weight
        return dx


def _packed(x: torch.Tensor) -> _Packed:
    """A two-valued map as bits."""
    flat = x.flatten(1)
    bits_Nb = torch.empty(len(x), packed_width(flat.shape[1]), dtype=torch.uint8)
    pack_positive(flat, bits_Nb, samples_at_a_time(len(x), flat.shape[1]))
    return _Packed(bits_Nb, x.amax(), x.shape)


def _samples(kept: _Map, part: slice) -> torch.Tensor:
    """Some samples of a map; of a packed one zeros and ones."""
    if isinstance(kept, torch.Tensor):
        return kept[part]
    shape = kept.shape[1:]
    return unpack(kept.bits_Nb[part], shape.numel()).view(-1, *shape)
