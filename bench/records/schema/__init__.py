"""One schema for writers and readers of records; one JSON line per workload.

Bytes are ``int``, times ``float`` seconds. What was not measured is ``None`` beside a reason,
never 0. Unknown keys are an error, so that a reader never silently drops what a writer meant.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from trainfit._limits import LARGEST_INTEGER
from trainfit._text import plain, printable
from trainfit.bench.records.schema.base import Block, Bounds, Count, Evidence, Share, Time
from trainfit.bench.records.schema.costs import (
    Energy,
    Latency,
    PhaseEnergy,
    PhaseLatency,
    PhaseOperations,
    StageOperations,
    Stop,
)
from trainfit.bench.records.schema.memory import (
    AsDeployed,
    Memory,
    PhaseMemory,
    Residual,
    StageMemory,
    TensorBytes,
)
from trainfit.bench.records.schema.probes import (
    LayerGradients,
    Noise,
    NoisyAccuracy,
    QuantisationError,
    QuantisedAccuracy,
)

SCHEMA = "trainfit.record/5"
"""Name and version of the record format; a change that breaks readers raises the number."""

READABLE = (*(f"trainfit.record/{number}" for number in range(1, 5)), SCHEMA)
"""The versions that this one reads; :mod:`trainfit.bench.records.schema.older` has the others."""


class RecordStatus(StrEnum):
    """How measuring a workload ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


class Measurement(StrEnum):
    """What can be measured of a workload."""

    MEMORY = "memory"
    LATENCY = "latency"
    ENERGY = "energy"
    ACCURACY = "accuracy"
    GRADIENTS = "gradients"
    NOISE = "noise"


PROBES = (Measurement.GRADIENTS, Measurement.NOISE)
"""What looks into the trained net; measured only where a suite names it."""


class Augment(StrEnum):
    """What is done to the images of a batch, at random, before a step."""

    CROP_FLIP = "crop-flip"  # a window of the padded image, half of them mirrored


class Search(Block):
    """How the options of a workload were chosen: on samples that nothing was trained on.

    The search is the same for two rules if all of this is.
    """

    grid: dict[str, list[float]] = Field(min_length=1)
    """What was tried, by option; every combination."""
    passes: Count
    """Of every training, of all stages together."""
    train_samples: int | None = Field(default=None, ge=1, le=LARGEST_INTEGER)
    """As a workload's."""
    held_out: int = Field(ge=1, le=LARGEST_INTEGER)
    """Samples of the training half by which it was chosen."""
    seeds: list[Count] = Field(min_length=1)
    """What was tried was tried with each of them; the mean decided."""


def _named(algorithm: str, options: dict[str, Any]) -> str:
    """A rule with what was set of its options: ``backprop[optimizer=adam]``."""
    chosen = ",".join(f"{key}={plain(value)}" for key, value in sorted(options.items()))
    return f"{algorithm}[{chosen}]" if chosen else algorithm


class Pretraining(Block):
    """What a net has learned before the workload's rule goes on with it.

    Model, data, seed and augmentation are the workload's.
    """

    algorithm: str
    options: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(ge=1, le=LARGEST_INTEGER)
    """Passes over the training data, of every stage."""
    classes: list[Count] | None = Field(default=None, min_length=1)
    """Only samples of these classes were shown; None for all."""
    batch_size: int | None = Field(default=None, ge=1, le=LARGEST_INTEGER)
    """Samples per step; None for the workload's."""

    @property
    def label(self) -> str:
        """How a person names it: ``after 10 passes of backprop[lr=0.1] b32 on classes 0,1,2``."""
        batch = "" if self.batch_size is None else f" b{self.batch_size}"
        shown = "" if self.classes is None else f" on classes {','.join(map(str, self.classes))}"
        passes = "1 pass" if self.epochs == 1 else f"{self.epochs} passes"
        return f"after {passes} of {_named(self.algorithm, self.options)}{batch}{shown}"


class Workload(Block):
    """One thing to measure.

    ``options`` holds only what the suite set; the algorithm's defaults fill the rest.
    """

    algorithm: str
    options: dict[str, Any] = Field(default_factory=dict)
    model: str
    dataset: str
    batch_size: int = Field(ge=1, le=LARGEST_INTEGER)
    seed: Count = 0
    epochs: Count = 0
    """Passes over the training data per stage for the accuracy; 0 measures no accuracy."""
    evaluate_every: int = Field(default=1, ge=1, le=LARGEST_INTEGER)
    """Passes from one point of the accuracy's curve to the next; the last pass always is one."""
    train_samples: int | None = Field(default=None, ge=1, le=LARGEST_INTEGER)
    """Only the first samples of the training half; None takes all."""
    held_out: int | None = Field(default=None, ge=1, le=LARGEST_INTEGER)
    """So many samples of the training half are kept for validation: nothing is trained on them, and
    the accuracy is theirs. The test half is not looked at."""
    tuned: Search | None = None
    """By which the options were chosen; None where no search is known."""
    standardise: bool = False
    """Mean 0 and deviation 1 per channel, by the training half."""
    shuffle: bool = True
    """Draw a new order of the training half for every pass; otherwise as the files have it."""
    augment: Augment | None = None
    """What is done to images before a step takes them; None takes them as they are."""
    pretrained: Pretraining | None = None
    """What the net has learned before; None starts from weights that are drawn."""

    @property
    def label(self) -> str:
        """How a person names it: ``backprop[optimizer=adam] mlp-64-128-128-10 b32``."""
        rule = _named(self.algorithm, self.options)
        data = self.dataset
        if self.train_samples is not None:
            data += f"[:{self.train_samples}]"
        if self.held_out is not None:
            data += f"[:-{self.held_out}]"
        if self.standardise:
            data += " standardised"
        if self.augment is not None:
            data += f" {self.augment}"
        batch = f"b{self.batch_size}"
        if self.pretrained is not None:
            batch += f" {self.pretrained.label}"
        return printable(f"{rule} {self.model} {data} {batch}")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later and is not set, so that a workload has the text it always had."""
        found: dict[str, Any] = handler(self)
        later = ("held_out", "tuned", "augment", "pretrained")
        unset = [name for name in later if found.get(name) is None]
        return {name: value for name, value in found.items() if name not in unset}


class Accuracy(Block):
    """Accuracy after training on the training split: on the test split, or on what was held out."""

    test_accuracy: Share | None = None
    """None where samples were held out: then it was not looked at."""
    validation_accuracy: Share | None = None
    """On the samples that were held out; None where none were."""
    balanced_accuracy: Share | None = None
    """On the same samples: the mean over classes of the share of each that is classified rightly.
    None in records from before it was measured."""
    epochs: Count
    train_seconds: Time
    curve: list[Share] = Field(default_factory=list)
    """Accuracy on the same samples after some passes over the training data."""
    curve_passes: list[Count] = Field(default_factory=list)
    """After how many passes each point of the curve was measured."""
    data_note: str = ""
    """What there is to know about the data, such as which part of it was at hand."""

    @model_validator(mode="after")
    def _of_one_split(self) -> Self:
        if (self.test_accuracy is None) == (self.validation_accuracy is None):
            raise ValueError("needs either test_accuracy or validation_accuracy")
        return self


class ErrorRecord(Block):
    """Why a workload did not end well."""

    type: str
    message: str
    where: str | None = None


class Record(Block):
    """Everything measured about one workload.

    What follows from it for a device (verdicts, modelled time and energy) is not in here: it is
    computed when somebody looks (:mod:`trainfit.bench.verdicts.judges`).
    """

    schema_: Literal[READABLE] = Field(default=SCHEMA, alias="schema")  # type: ignore[valid-type]
    """Which figures there are: a record of an older version stays one, whatever its shape."""
    workload: Workload
    status: RecordStatus
    operations: list[StageOperations] = Field(default_factory=list)
    memory: Memory | None = None
    latency: Latency | None = None
    energy: Energy | None = None
    accuracy: Accuracy | None = None
    gradients: list[LayerGradients] = Field(default_factory=list)
    noise: Noise | None = None
    error: ErrorRecord | None = None
    seconds: Time
    """Wall time this workload took to measure, everything included."""

    model_config = ConfigDict(populate_by_name=True)


__all__ = [
    "PROBES",
    "READABLE",
    "SCHEMA",
    "Accuracy",
    "AsDeployed",
    "Augment",
    "Bounds",
    "Energy",
    "ErrorRecord",
    "Evidence",
    "Latency",
    "LayerGradients",
    "Measurement",
    "Memory",
    "Noise",
    "NoisyAccuracy",
    "PhaseEnergy",
    "PhaseLatency",
    "PhaseMemory",
    "PhaseOperations",
    "Pretraining",
    "QuantisationError",
    "QuantisedAccuracy",
    "Record",
    "RecordStatus",
    "Residual",
    "Search",
    "StageMemory",
    "StageOperations",
    "Stop",
    "TensorBytes",
    "Workload",
]
