"""TinyFoA (Huang & Aminifar, AAAI 2025, doi 10.1609/aaai.v39i16.33910).

Hidden layers are trained one after the other, each with its own fixed random classifier
("horizontal"), a slice of its weights at a time ("vertical"), with binary weights and activations::

    z = s_w sign(W) h + b            h' = s_z 1[z > 0]        s_t = mean(abs(t))
    a = B h'                         dh' = B^T da             (B fixed, softmax cross-entropy)
    dz = dh' 1[z > 0] 1[abs(z) < 1]  dW = dz h^T 1[abs(W) <= 1]

Two variants, because the paper's figure and its authors' released code differ:

* ``variant=described`` (:mod:`trainfit.algorithms.tinyfoa.described.mlp.rule`) follows the figure.
  Only slice (i, j) of the active layer has a gradient, optimiser state and latent weights in RAM;
  the forward pass reads packed one-bit weights; all other latent weights are in storage.
* ``variant=released`` (:mod:`trainfit.algorithms.tinyfoa.released.mlp`) follows the code. Dense
  latent weights, dense gradient, dense Adam; in each epoch all but one diagonal block are updated.

On locally connected nets (``lc-...``) batch normalisation and rectifier come before activations are
binarised, and the heads have biases:
:mod:`trainfit.algorithms.tinyfoa.described.locally_connected.rule` and
:mod:`trainfit.algorithms.tinyfoa.released.locally_connected`.

On nets of units, convolutional ones, slices are groups of output channels:
:mod:`trainfit.algorithms.tinyfoa.described.units`.

``weights=float`` and ``activations=float`` take the binarising out of the described rule on fully
connected nets, to learn what it costs: :mod:`trainfit.algorithms.tinyfoa.described.unbinarised`;
and on nets of units.

``features=cached`` keeps the outputs of the layers below the active one for the training set in
storage (:mod:`trainfit.algorithms.tinyfoa.features`); the released code runs these layers again for
every batch.

Training starts with layer 1; ``epochs`` counts passes per layer. The heads are fixed, so the
classifier at the end of a model's name only gives their number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch

from trainfit._limits import MOST_DEEP_STAGES
from trainfit._text import shown
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import LocallyConnected, Mlp, Model, UnitNet
from trainfit.algorithms.options import Precision
from trainfit.algorithms.tinyfoa.described.locally_connected.rule import LcDescribed
from trainfit.algorithms.tinyfoa.described.mlp.rule import Described
from trainfit.algorithms.tinyfoa.described.unbinarised import Unbinarised
from trainfit.algorithms.tinyfoa.described.units import TinyFoAOnUnits
from trainfit.algorithms.tinyfoa.options import (
    TINYFOA,
    FeatureSource,
    FrozenStatistics,
    SliceUpdate,
    TinyFoAOptions,
    Variant,
)
from trainfit.algorithms.tinyfoa.released.locally_connected import LcReleased
from trainfit.algorithms.tinyfoa.released.mlp import Released
from trainfit.algorithms.tinyfoa.variant import AdamSettings, VariantRule


class TinyFoA(Algorithm[TinyFoAOptions], about=TINYFOA):
    """Layer-wise training of binary nets, a slice at a time."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, LocallyConnected, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (TinyFoAOnUnits,)
    storage_note = "no step writes it: a slice is written back after its turn (once per pass)"
    model: Mlp | LocallyConnected

    def __init__(
        self, model: Mlp | LocallyConnected, options: TinyFoAOptions, *, seed: int = 0
    ) -> None:
        super().__init__(model, options, seed=seed)
        if not model.hidden:
            raise ConfigurationError(
                f"tinyfoa trains hidden layers, {model.name!r} has none;"
                f" use for instance mlp-{model.inputs}-128-{model.classes}"
            )
        if len(model.hidden) > MOST_DEEP_STAGES:
            raise ConfigurationError(
                f"tinyfoa trains every hidden layer on all below it, of which"
                f" {shown(model.name)} has {len(model.hidden)}; use at most {MOST_DEEP_STAGES}"
            )
        self._refuse_options_without_effect()
        self._refuse_floats_without_form()
        self._rule = self._make_rule()
        self._rule.enter_layer(0)

    def _refuse_options_without_effect(self) -> None:
        options = self.options
        released = options.variant is Variant.RELEASED
        if released and options.update is SliceUpdate.FUSED:
            raise ConfigurationError(
                "tinyfoa: update=fused needs variant=described; the released code applies its"
                " dense gradient whole"
            )
        if options.frozen_statistics is FrozenStatistics.BATCH and (
            released or isinstance(self.model, Mlp)
        ):
            raise ConfigurationError(
                "tinyfoa: frozen_statistics=batch needs variant=described and a net with batch"
                " normalisation (lc-... or convolutional); the released code always has the batch's"
            )

        if options.head_features != type(options).model_fields["head_features"].default:
            raise ConfigurationError(
                f"option 'head_features' of tinyfoa is for convolutional nets, {self.model.name!r}"
                f" is {self.model.kind}: its heads see all units; leave it out"
            )
        if options.features is FeatureSource.CACHED and (
            released or options.frozen_statistics is FrozenStatistics.BATCH
        ):
            raise ConfigurationError(
                "tinyfoa: features=cached needs variant=described and frozen_statistics=running;"
                " what depends on the rest of a batch cannot be kept"
            )

    def _floats(self) -> list[str]:
        """The options that take binarising out of the rule, as they were given."""
        chosen = {"weights": self.options.weights, "activations": self.options.activations}
        return [f"{key}=float" for key, value in chosen.items() if value is Precision.FLOAT]

    def _refuse_floats_without_form(self) -> None:
        options, floats = self.options, " and ".join(self._floats())
        if not floats:
            return
        if options.variant is Variant.RELEASED:
            raise ConfigurationError(
                f"tinyfoa: {floats} needs variant=described; the released code binarises both"
            )
        if isinstance(self.model, LocallyConnected):
            raise ConfigurationError(
                f"tinyfoa: {floats} needs a fully connected net such as"
                f" mlp-{self.model.inputs}-128-{self.model.classes}; on lc-... weights and"
                " activations are binary, leave the option out"
            )
        if options.features is FeatureSource.CACHED:
            raise ConfigurationError(
                f"tinyfoa: {floats} needs features=recomputed; features=cached keeps one bit per"
                " unit of layers whose weights and activations are binary"
            )

    def _make_rule(self) -> VariantRule:
        """The variant for the model's architecture."""
        model, options, generator = self.model, self.options, self.generator
        slices, adam = options.slices, AdamSettings(options.lr, options.weight_decay)
        fused = options.update is SliceUpdate.FUSED
        if isinstance(model, LocallyConnected):
            if options.variant is Variant.RELEASED:
                return LcReleased(model, slices, adam, generator)
            return LcDescribed(
                model,
                slices,
                adam,
                generator,
                fused=fused,
                kernel=options.kernel,
                frozen_statistics=options.frozen_statistics,
                features=options.features,
            )
        for width in model.sizes[:-1]:
            if width % slices:
                raise ConfigurationError(
                    f"tinyfoa: slices={slices} does not divide width {width} of"
                    f" {model.name!r}; choose a divisor of all widths but the last"
                )
        if options.variant is Variant.RELEASED:
            return Released(model, slices, adam, generator)
        if self._floats():
            return Unbinarised(
                model,
                slices,
                adam,
                generator,
                weights=options.weights,
                activations=options.activations,
                fused=fused,
                kernel=options.kernel,
            )
        return Described(
            model,
            slices,
            adam,
            generator,
            fused=fused,
            kernel=options.kernel,
            features=options.features,
        )

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        self._rule.check_batch(batch_size)

    @property
    def stages(self) -> tuple[str, ...]:
        """Hidden layers, trained one after the other."""
        return tuple(f"layer{number}" for number in range(1, len(self.model.hidden) + 1))

    def enter_stage(self, index: int) -> None:
        """Train another hidden layer from now on."""
        super().enter_stage(index)
        self._rule.enter_layer(index)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Next layer after ``epochs`` passes, next slice after every pass."""
        super().begin_epoch(epoch, epochs)
        self._rule.enter_slice(epoch % epochs)

    def stage_data(self, x: torch.Tensor) -> torch.Tensor:
        """Samples, or with ``features=cached`` the packed output of the layer below for each."""
        return self._rule.stage_data(x)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the active layer (``described``: of its active slice)."""
        self._rule.step(x, y)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's fixed head."""
        with torch.no_grad():
            return self._rule.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """The tensors that the variant keeps between steps."""
        return self._rule.static_tensors()
