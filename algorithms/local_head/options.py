"""The options of local heads; see :mod:`trainfit.algorithms.local_head.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import Description, TrainingOptions


class Head(StrEnum):
    """Whether the heads are trained."""

    TRAINED = "trained"
    FIXED = "fixed"


class HeadInit(StrEnum):
    """Initial weights of the heads, O inputs each."""

    AUTO = "auto"  # linear if trained, he if fixed
    LINEAR = "linear"  # U(-1/sqrt(O), 1/sqrt(O)), as torch.nn.Linear
    ZEROS = "zeros"
    NORMAL = "normal"  # N(0, 1)
    SIGN = "sign"  # -1, 0 or 1 with probabilities 1/6, 2/3, 1/6
    HE = "he"  # N(0, 2/O)


class Schedule(StrEnum):
    """Layers that a step trains."""

    JOINT = "joint"
    GREEDY = "greedy"


class Predict(StrEnum):
    """Heads that predict the class."""

    LAST = "last"
    SUM = "sum"


class LocalLoss(StrEnum):
    """Loss of a layer (Nokland & Eidnes 2019)."""

    PRED = "pred"  # cross-entropy of its head
    SIM = "sim"  # similarity matching
    PREDSIM = "predsim"  # (1 - beta) pred + beta sim


class Projection(StrEnum):
    """What a layer's output passes before similarities are taken."""

    LINEAR = "linear"
    NONE = "none"


class LocalHeadOptions(TrainingOptions):
    """Options of ``local_head``."""

    lr: float = Field(default=0.1, gt=0)
    """Learning rate."""
    head: Head = Head.TRAINED
    """Whether the heads are trained, or fixed at their random initial values."""
    head_init: HeadInit = HeadInit.AUTO
    """Initial weights of the heads: those of ``torch.nn.Linear``, zeros, N(0, 1), random signs
    (-1, 0, 1) or He-normal; ``auto`` is ``linear`` if trained, ``he`` if fixed."""
    loss: LocalLoss = LocalLoss.PRED
    """Loss of a layer (Nokland & Eidnes 2019): cross-entropy of its head, similarity matching, or
    both."""
    beta: float = Field(default=0.99, gt=0, lt=1)
    """Share of similarity matching in ``loss=predsim``."""
    projection: Projection = Projection.LINEAR
    """Similarities of the layer's output after a trained linear map, or as it is."""
    schedule: Schedule = Schedule.JOINT
    """All layers trained in every step, or one after the other, ``epochs`` passes each."""
    predict: Predict = Predict.LAST
    """Scores that predict the class (Nokland & Eidnes 2019): those of the last head, or the sum
    over all heads."""
    head_features: int = Field(default=1024, ge=1)
    """Most features that a head sees of a convolutional unit, whose maps are averaged over windows
    to that end (Nokland & Eidnes 2019)."""
    keep: float = Field(default=1.0, gt=0, le=1)
    """Probability that the next layer sees a hidden unit; 1 is no dropout."""
    batch_norm: bool = False
    """Batch normalisation of every hidden layer, before the rectifier."""
    parts: int = Field(default=1, ge=1)
    """Parts of a layer whose gradients are computed one after the other."""

    @property
    def initial_heads(self) -> HeadInit:
        """``head_init``, and what ``auto`` stands for."""
        if self.head_init is not HeadInit.AUTO:
            return self.head_init
        return HeadInit.HE if self.head is Head.FIXED else HeadInit.LINEAR

    @property
    def similarity(self) -> float:
        """Weight of the similarity matching loss; 0 without."""
        return {LocalLoss.PRED: 0.0, LocalLoss.SIM: 1.0, LocalLoss.PREDSIM: self.beta}[self.loss]

    @property
    def projects(self) -> bool:
        """Whether there is a linear map before similarities are taken."""
        return self.similarity > 0 and self.projection is Projection.LINEAR


LOCAL_HEAD = Description(
    "local_head",
    "a linear head and a loss of its own for every hidden layer",
    "Nokland & Eidnes, ICML 2019, arXiv 1901.06656",
    LocalHeadOptions,
)


def check_together(options: LocalHeadOptions) -> None:
    """Refuse choices that exclude each other.

    Raises:
        ConfigurationError: The message names both.
    """
    if options.head is Head.FIXED and options.initial_heads is HeadInit.ZEROS:
        raise ConfigurationError(
            "local_head: head=fixed with head_init=zeros trains nothing, since no gradient passes a"
            " head of zeros; take head=trained, or head_init=linear, normal, sign or he"
        )
    of_sim = {
        "head=fixed": (options.head is Head.FIXED, "nothing would learn to predict"),
        "schedule=greedy": (
            options.schedule is Schedule.GREEDY,
            "the stages of all other layers could not predict",
        ),
        "predict=sum": (options.predict is Predict.SUM, "there is nothing to add up"),
    }
    for chosen, (is_so, why) in of_sim.items():
        if options.loss is LocalLoss.SIM and is_so:
            raise ConfigurationError(
                f"local_head: {chosen} does not go with loss=sim, which has a head on the last"
                f" layer only: {why}; take loss=predsim, or leave {chosen} out"
            )
    fields = LocalHeadOptions.model_fields
    for name, needed in (
        ("beta", options.loss is LocalLoss.PREDSIM),
        ("projection", options.loss is not LocalLoss.PRED),
    ):
        if not needed and getattr(options, name) != fields[name].default:
            losses = "loss=predsim" if name == "beta" else "loss=sim or loss=predsim"
            raise ConfigurationError(
                f"local_head: {name} has no effect with loss={options.loss}; leave it out or take"
                f" {losses}"
            )
