"""The contract of every training algorithm.

An algorithm owns a model and trains it. It declares the phases of a step, runs one step on one
batch with each part inside ``phase(...)``, predicts, and lists every tensor it keeps between steps.
What a step needs in bytes and arithmetic follows from tracing it (:mod:`trainfit.bench.trace`).
``tests/contract`` is the definition of done for every algorithm, including those of other packages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError, unknown_name
from trainfit.algorithms.models import Mlp, Model
from trainfit.algorithms.options import AlgorithmOptions as AlgorithmOptions  # noqa: PLC0414
from trainfit.algorithms.options import Description
from trainfit.algorithms.phases import Category

OptionsT = TypeVar("OptionsT", bound=AlgorithmOptions)


@dataclass(frozen=True)
class StaticTensor:
    """A tensor that is held between steps.

    Attributes:
        name: Unique within the algorithm.
        tensor: The tensor itself; its bytes are counted once per storage.
        category: What the bytes are for.
        storage: It need not be in RAM during a step and counts against flash.
    """

    name: str
    tensor: torch.Tensor
    category: Category
    storage: bool = False


class Algorithm(ABC, Generic[OptionsT]):
    """One training rule on one model.

    Class attributes:
        name: The registered name.
        summary: One line for ``trainfit algorithms``.
        paper: Where the rule comes from.
        options_type: The pydantic model of its options.
        phases: The phases a step may enter; ``forward``, ``gradient``, ``update`` or refinements.
        models: The architectures the rule supports; a model of another one is refused.
        forms: Classes of the same name and options that train some of these architectures, where
            one class does not train all of them; see :meth:`form_for`.
        storage_note: When what it keeps in storage is read and written, for people.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    options_type: ClassVar[type[AlgorithmOptions]]
    phases: ClassVar[tuple[str, ...]] = ("forward", "gradient", "update")
    models: ClassVar[tuple[type[Model], ...]] = (Mlp,)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = ()
    storage_note: ClassVar[str] = ""
    model: Model
    entered: int
    """Number of the stage that ``step`` trains, from 0."""

    def __init_subclass__(cls, about: Description | None = None, **others: Any) -> None:
        """Take the first four attributes from a description, where there is one."""
        super().__init_subclass__(**others)
        if about is not None:
            cls.name, cls.summary, cls.paper = about.name, about.summary, about.paper
            cls.options_type = about.options_type

    def __init__(self, model: Model, options: OptionsT, *, seed: int = 0) -> None:
        self.model = model
        self.options = options
        self.entered = 0
        self.generator = torch.Generator().manual_seed(seed)

    @classmethod
    def form_for(cls, model: Model) -> type[Algorithm[Any]]:
        """The class that trains a model: one of ``forms``, or this one."""
        return next((form for form in cls.forms if isinstance(model, form.models)), cls)

    @property
    def stages(self) -> tuple[str, ...]:
        """The parts that are trained one after the other; one for whole-net algorithms."""
        return ("all",)

    def enter_stage(self, index: int) -> None:
        """Let ``step`` train stage ``index`` from now on (called between steps only).

        A rule that has stages does what it needs to besides this.
        """
        if not 0 <= index < len(self.stages):
            raise ConfigurationError(f"{self.name} has {len(self.stages)} stages, no {index}")
        self.entered = index

    def passes(self, epochs: int) -> int:
        """Number of passes over the data: ``epochs`` per stage, times the number of stages."""
        return epochs * len(self.stages)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Advance schedules before pass ``epoch`` (from 0) of ``passes(epochs)``."""
        if len(self.stages) > 1 and epoch % epochs == 0:
            self.enter_stage(epoch // epochs)

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch size that the rule cannot be trained with.

        Raises:
            ConfigurationError: With the reason, and a size that works.
        """

    def stage_data(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs of the current stage's steps, made from the samples ``x``; here ``x`` itself.

        A rule may keep data derived from the training set in storage for the duration of a stage.
        This is called after a stage is entered and before its steps, with all training samples; the
        batches of the stage are rows of the result. Prediction always takes samples.

        Args:
            x: Inputs, float32, shape (samples, features). Left unchanged.

        Returns:
            ``x``, or a contiguous tensor with a row per sample.
        """
        return x

    @abstractmethod
    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Train on one batch.

        Args:
            x: Inputs, float32, shape (batch, features), or rows of ``stage_data``. Unchanged.
            y: Labels, int64, shape (batch,).
        """

    @abstractmethod
    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of shape (batch, classes) for inputs of shape (batch, features)."""

    @abstractmethod
    def static_tensors(self) -> Iterator[StaticTensor]:
        """Every tensor held between steps at the current stage, without the input batch."""


def parse_options(cls: type[Algorithm[Any]], options: dict[str, Any]) -> AlgorithmOptions:
    """Check options given by name.

    Raises:
        ConfigurationError: An option does not exist or has a value it cannot have.
    """
    try:
        try:  # as from a file: no text for a number, no truth for one
            return cls.options_type.model_validate_json(to_json(options), strict=True)
        except PydanticSerializationError:  # an object of Python's, for a rule that takes it
            return cls.options_type.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            why = cls.options_type.refused.get(where)
            if why:
                raise ConfigurationError(f"{cls.name} has no option {where!r}: {why}") from None
            known = cls.options_type.model_fields
            raise unknown_name(f"option of {cls.name}", where, known) from None
        at = f"option {shown(where)} of {cls.name}" if where else f"options of {cls.name}"
        raise ConfigurationError(f"{at}: {first['msg']}, got {shown(first['input'])}") from None


def check_model(cls: type[Algorithm[Any]], model: Model) -> None:
    """Make sure that an algorithm supports a model's architecture.

    Raises:
        ConfigurationError: It does not; the message names the supported architectures.
    """
    if not isinstance(model, cls.models):
        accepted = " or ".join(f"{each.kind} nets ({each.like})" for each in cls.models)
        raise ConfigurationError(f"{cls.name} trains {accepted}, {model.name!r} is {model.kind}")
