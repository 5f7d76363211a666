"""What would make a workload fit: other options, a smaller batch, another algorithm, in any mix.

Options and their values are those that an algorithm declares; those that change nothing of bytes or
arithmetic are left out. Every remedy is judged by its prediction, so that what is offered does
fit. What it costs in accuracy is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations, product
from types import UnionType
from typing import Any, Union, get_args, get_origin

from trainfit._text import plain
from trainfit.algorithms import algorithm_names, describe_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.edge import halfway, last_fitting
from trainfit.bench.sizing.judged import Judged
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.verdicts.memory import Verdict
from trainfit.hardware_profiles import Budgets, Device

Options = dict[str, Any]

COUNTS = (1, 2, 4, 8, 16)
"""Tried of every option that is a whole number: slices, parts, micro-batches, checkpoints."""

OFF = (0.0,)
"""Tried of every other option that is a number: what it switches off needs no memory."""

NAMED: Mapping[str, tuple[Any, ...]] = {
    "layers": ("last:1",),
    "ratio": (0.25, 0.5),
    "keep": (1.0,),
    "loss": (),  # what is learnt, not how: a few bytes are no reason to change it
    "hidden_gradient": (),
}
"""Tried of options, by name, whose type does not say what is worth a try."""

CHANGES: Mapping[str, str] = {
    "update=fused": "every gradient applied in place as soon as it is made",
    "update=product": "no gradient of a weight: it goes into the momentum as it is computed",
    "optimizer=sgd": "an optimiser with less state",
    "momentum": "no momentum buffer",
    "checkpoint": "activations recomputed instead of kept",
    "micro_batch": "gradients summed over parts of the batch",
    "slices": "a smaller part of every weight trained at a time",
    "parts": "a smaller part of every layer trained at a time",
    "schedule=greedy": "one layer trained at a time, so one layer's state of the optimiser",
    "ratio": "a smaller part of every chosen weight trained",
    "features=cached": "the frozen layers' output kept in storage",
    "implementation=closed_form": "written out in place, without autograd",
    "passes=sequential": "one pass at a time",
    "frozen=flash": "frozen weights kept in flash",
    "layers": "fewer layers trained",
    "lookahead=off": "no look-ahead",
    "weights=binary": "binary weights",
    "activations=binary": "binary activations",
    "master=int8": "weights kept in INT8",
    "weight_gradient=rows": "a few rows of a weight gradient at a time",
}
"""What an option, or one value of it, does to memory; others are shown by their names alone."""

SAME_RESULT = frozenset(
    {
        "checkpoint",
        "features",
        "frozen",
        "implementation",
        "kernel",
        "micro_batch",
        "parts",
        "update",
        "weight_gradient",
    }
)
"""Options that say how a step is computed, and not what it computes: the smaller change."""

MOST_OPTIONS = {True: 3, False: 2}
"""So many options are changed at once: of the algorithm asked about, of others."""


@dataclass(frozen=True)
class Remedy:
    """Something to change.

    Attributes:
        options: Options that are changed, and to what.
        what: What that does.
        workload: The workload with it.
        ram_bytes: What that needs under the device's allocator.
        torch_ram_bytes: The same under torch.
        verdict: The one that decides; it is within every budget.
        new_algorithm: It is another algorithm.
        new_batch: The batch is smaller than the one asked about.
    """

    options: Options
    what: str
    workload: Workload
    ram_bytes: int
    torch_ram_bytes: int
    verdict: Verdict
    new_algorithm: bool
    new_batch: bool

    @property
    def change(self) -> str:
        """The changes in short: ``--algorithm tinyfoa slices=8 --batch-size 12``."""
        parts = [f"--algorithm {self.workload.algorithm}"] if self.new_algorithm else []
        parts += [f"{name}={plain(value)}" for name, value in self.options.items()]
        parts += [f"--batch-size {self.workload.batch_size}"] if self.new_batch else []
        return " ".join(parts)

    @property
    def distance(self) -> tuple[bool, bool, int, int, float]:
        """The least changed first; then the largest batch, then what leaves the most.

        The algorithm is changed last, then the batch. An option that changes what is computed
        counts twice.
        """
        margin = self.verdict.margin or 0
        changed = sum(1 if name in SAME_RESULT else 2 for name in self.options)
        return self.new_algorithm, self.new_batch, changed, -self.workload.batch_size, -margin


@dataclass(frozen=True)
class Searched:
    """What a search found, and how far it went.

    Attributes:
        remedies: All that fits, the closest to the workload first.
        combinations: Different workloads that were judged.
        algorithms: Different algorithms among them.
        batch_sizes: Different batch sizes among them.
    """

    remedies: tuple[Remedy, ...]
    combinations: int
    algorithms: int
    batch_sizes: int


@dataclass
class _Search:
    """Judges workloads, each once."""

    device: Device
    budgets: Budgets
    judged: dict[str, Judged | None] = field(default_factory=dict)
    algorithms: set[str] = field(default_factory=set)
    batch_sizes: set[int] = field(default_factory=set)

    def judge(self, workload: Workload) -> Judged | None:
        """Its prediction and the verdict that decides; None for one that there is not."""
        parts = (workload.algorithm, workload.options, workload.batch_size)
        key = json.dumps(parts, sort_keys=True)
        if key not in self.judged:
            self.judged[key] = self._judge(workload)
        return self.judged[key]

    def _judge(self, workload: Workload) -> Judged | None:
        try:
            form = predicted_workload(workload)
        except ConfigurationError:  # a value that this rule does not have, or not with others
            return None
        self.algorithms.add(workload.algorithm)
        self.batch_sizes.add(workload.batch_size)
        return Judged.on(form, self.device, self.budgets)

    def fits(self, workload: Workload) -> bool:
        """It is within every budget."""
        found = self.judge(workload)
        return found is not None and found.fits

    def largest_batch(self, workload: Workload) -> int:
        """The largest batch up to its own that fits; 0 where none does."""

        def fits(size: int) -> bool:
            return self.fits(workload.model_copy(update={"batch_size": size}))

        size = workload.batch_size
        if fits(size):
            return size
        if not fits(1):
            return 0
        low, high, guessed = 1, size, 0
        while high - low > 1:
            guess = self._guess(workload, low, high) if guessed < 2 else None
            guessed = 0 if guess is None else guessed + 1
            middle = halfway(low, high) if guess is None else guess
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    def _guess(self, workload: Workload, low: int, high: int) -> int | None:
        """The largest batch that fits, as the two around tell; None where they do not."""
        around = [
            (size, found.verdict)
            for size in (low, high)
            if (found := self.judge(workload.model_copy(update={"batch_size": size})))
        ]
        guess = last_fitting(*around) if len(around) == 2 else None
        return guess if guess is not None and guess < high else None


def search(
    workload: Workload,
    device: Device,
    budgets: Budgets | None = None,
    *,
    others_only: bool = False,
) -> Searched:
    """Search algorithms, their options and batch sizes for what fits.

    Of the algorithm asked about, every set of changes that allows a larger batch than fewer of them
    do; of every other algorithm, the one that is changed least.

    Args:
        workload: What does not fit.
        device: What it is to fit.
        budgets: Budgets beside those of the device's profile.
        others_only: The prediction of the algorithm asked about is wrong, so that nothing can be
            said of its other options and batches.
    """
    run = _Search(device, budgets or Budgets())
    found = [] if others_only else list(_of_one(run, workload, workload))
    for name in algorithm_names():
        if name != workload.algorithm:
            other = workload.model_copy(update={"algorithm": name, "options": {}})
            found += sorted(_of_one(run, other, workload), key=lambda each: each.distance)[:1]
    return Searched(
        remedies=tuple(sorted(found, key=lambda each: each.distance)),
        combinations=sum(each is not None for each in run.judged.values()),
        algorithms=len(run.algorithms),
        batch_sizes=len(run.batch_sizes),
    )


def _of_one(run: _Search, base: Workload, asked: Workload) -> Iterator[Remedy]:
    """The sets of changes of one algorithm that allow a larger batch than their subsets do."""
    judged = run.judge(base)
    if judged is None:
        return  # not of this net, or not installed here
    same = base.algorithm == asked.algorithm
    if not same and run.fits(base):
        yield _remedy(run, base, {}, asked)
        return
    reached: list[tuple[Options, int]] = []
    most = 1 if judged.form.takes_long else MOST_OPTIONS[same]
    for options in changes(base, run.judge, most):
        tried = base.model_copy(update={"options": base.options | options})
        if _is_done(options, base.batch_size, reached):
            continue
        batch = run.largest_batch(tried)
        if batch > max((other for part, other in reached if _within(part, options)), default=0):
            reached.append((options, batch))
            yield _remedy(run, tried.model_copy(update={"batch_size": batch}), options, asked)


def _is_done(options: Options, batch: int, reached: Iterable[tuple[Options, int]]) -> bool:
    """A part of these changes is enough for the whole batch."""
    return any(other == batch and _within(part, options) for part, other in reached)


def _within(part: Options, options: Options) -> bool:
    return part.items() <= options.items()


def _remedy(run: _Search, workload: Workload, options: Options, asked: Workload) -> Remedy:
    found = run.judge(workload)
    assert found is not None  # it has been found to fit
    words = [_words(name, value) for name, value in options.items()]
    new_algorithm = workload.algorithm != asked.algorithm
    new_batch = workload.batch_size != asked.batch_size
    words += ["another algorithm"] * new_algorithm + ["smaller batch"] * new_batch
    return Remedy(
        options=options,
        what="; ".join(dict.fromkeys(words)),
        workload=workload,
        ram_bytes=found.ram_bytes,
        torch_ram_bytes=found.form.ram_bytes,
        verdict=found.verdict,
        new_algorithm=new_algorithm,
        new_batch=new_batch,
    )


def _words(name: str, value: Any) -> str:
    pair = f"{name}={plain(value)}"
    return CHANGES.get(pair) or CHANGES.get(name) or pair


# ---- options -------------------------------------------------------------------------------------


def changes(
    base: Workload, judge: Callable[[Workload], Judged | None], most: int
) -> Iterator[Options]:
    """Sets of options that may need less than the workload has now, the smallest sets first.

    The empty set, every single value that lowers something, then sets of the best value of several
    options: of each option the values that lower it most are what more than one set is made of.

    Args:
        base: What they are changes to.
        judge: Judges a workload by its prediction; None for one that there is not.
        most: Largest number of options in a set.
    """
    yield {}
    helpful = list(_helpful(base, judge))
    yield from ({name: value} for name, value, _ in helpful)
    best: dict[str, list[tuple[Any, tuple[float, ...]]]] = {}
    for name, value, size in helpful:
        best.setdefault(name, []).append((value, size))
    kept = {name: _ends(values) for name, values in best.items()}
    for count in range(2, most + 1):
        for names in combinations(kept, count):
            for values in product(*(kept[name] for name in names)):
                yield dict(zip(names, values, strict=True))


def _ends(values: Sequence[tuple[Any, tuple[float, ...]]]) -> list[Any]:
    """The gentlest and the strongest of an option's values."""
    ordered = [value for value, _ in sorted(values, key=lambda each: each[1])]
    return ordered[:1] if len(ordered) == 1 else [ordered[-1], ordered[0]]


def _helpful(
    base: Workload, judge: Callable[[Workload], Judged | None]
) -> Iterator[tuple[str, Any, tuple[float, ...]]]:
    """Option, value and what is needed with it, where any of that is less than it is now."""
    now = judge(base)
    for name, value in declared_values(base):
        tried = judge(base.model_copy(update={"options": base.options | {name: value}}))
        if tried is not None and now is not None:
            size, before = _size(tried), _size(now)
            if any(less < more for less, more in zip(size, before, strict=True)):
                yield name, value, size


def _size(judged: Judged) -> tuple[float, ...]:
    form = judged.form
    storage = float("inf") if form.storage_bytes is None else float(form.storage_bytes)
    return float(judged.ram_bytes), storage, form.sample_operations or 0.0


def declared_values(workload: Workload) -> Iterator[tuple[str, Any]]:
    """Options that the algorithm declares, each with values that the workload has not now."""
    fields = describe_algorithm(workload.algorithm).options_type.model_fields
    for name, declared in fields.items():
        now = workload.options.get(name, declared.default)
        for value in _values(name, declared.annotation):
            if value != now:
                yield name, value


def _values(name: str, annotation: Any) -> tuple[Any, ...]:
    if name in NAMED:
        return NAMED[name]
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return tuple(each.value for each in kind)
        if kind is bool:
            return (False, True)
        if kind is int:
            return COUNTS
        if kind is float:
            return OFF
    return ()
