"""Which tensor did it: the itemised lists of two peaks compared.

A record lists what is alive at the peak of every phase. Lists of the same phase are compared, and
what differs in the same way in several phases is said once. Where there are no lists (bytes held
between steps, records of older versions), the categories are compared. A leak is told first, then
what grew, then what shrank; each with the module and the line that made it, where they are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from trainfit.bench.gate.figures import (
    LEFT,
    ONLY_STAGE,
    OPTIONAL,
    UNNAMED,
    Metrics,
    StepFigures,
    TensorGroup,
    place_key,
)
from trainfit.bench.gate.totals import LEFT_METRIC, change_of

_MADE = re.compile(r"(?P<operator>\S+) (?P<dtype>[a-z]+\d+\w*|bool) (?P<shape>\S+)")
"""How a tensor is named that nobody named: what made it, of what type, of what shape."""

_MOST_NAMED = 4
_MOST_PLACES = 2

OUTSIDE = "outside"
"""The phase of whatever belongs to none."""

GRAPH_KEPT = (
    "graph kept after backward: activations of forward alive after the step (retain_graph=True, or"
    " a tensor with a grad_fn that is stored; store loss.item() or .detach() instead)"
)
KEPT_LONGER = (
    "nothing more is allocated than before, it is kept longer: as when the graph is kept after"
    " backward (retain_graph=True)"
)
KEPT_ACROSS = (
    "nothing more is allocated than before, it is kept past the end of the step: something holds"
    " on to it (a hook, an attribute, a list)"
)

SCALAR_KEPT = (
    "a scalar is stored by every step, as a loss that is appended to a list; store loss.item()"
    " instead"
)
_SCALAR_BYTES = 8

_COPY = " = one more copy of the model"

_LEGEND = {
    UNNAMED: "unnamed: made by no operator that was watched: a scalar of at most 8 B, or memory"
    " that an operator takes for itself",
    OUTSIDE: 'outside: the part of the step that is in no phase; trainfit.phase("forward") and'
    " others around its parts say more exactly where",
}


@dataclass(frozen=True)
class TensorChange:
    """One difference between two itemised lists.

    Attributes:
        bytes: What it adds to the peak; negative for what is gone.
        text: In words.
        key: The tensor as it is now, by ``place_key``; empty for what is gone.
    """

    bytes: int
    text: str
    key: str = ""


def diff_tensors(
    golden: Sequence[TensorGroup],
    measured: Sequence[TensorGroup],
    *,
    elsewhere: tuple[Set[tuple[str, int]], Set[tuple[str, int]]] = (frozenset(), frozenset()),
) -> list[TensorChange]:
    """What is new, gone, more, fewer, wider or for something else; largest change first.

    Args:
        golden: What was alive.
        measured: What is alive now.
        elsewhere: (name, bytes) of what was, and is, alive in other phases; what is new here and
            was alive there is kept alive longer than it was.
    """
    before, after = elsewhere
    then, now = _counted(golden), _counted(measured)
    changes: list[TensorChange] = []
    for alike in then.keys() & now.keys():
        old, new = then.pop(alike), now.pop(alike)
        if old != new:
            category, name, size = alike
            text = f"{abs(new - old)} {'more' if new > old else 'fewer'} of {name} ({category}, "
            text += f"{size:,} B each): {new}, was {old}"
            changes.append(TensorChange((new - old) * size, text, place_key(name, size)))
    for alike in sorted(then, key=lambda alike: -alike[2]):
        partner = _partner(alike, now)
        if partner is not None:
            changes.append(_turned(alike, then.pop(alike), partner, now.pop(partner)))
    for alike, count in then.items():
        word = "no longer alive" if alike[1:] in after else "gone"
        changes.append(_appeared(word, alike, -count))
    for alike, count in now.items():
        changes.append(_appeared("kept alive" if alike[1:] in before else "new", alike, count))
    return sorted(changes, key=lambda change: (-abs(change.bytes), change.text))


def explain(golden: StepFigures, measured: StepFigures) -> list[str]:
    """What made the difference between two steps, in words: leaks, growth, what shrank."""
    leaks = _leaks(golden, measured)
    said: dict[str, int] = {}
    scopes: dict[str, list[str]] = {}
    keys: dict[str, str] = {}
    for scope, then in golden.tensors.items():
        now = measured.tensors.get(scope)
        if now is None or scope == LEFT:
            continue
        elsewhere = (_others(golden, scope), _others(measured, scope))
        for change in diff_tensors(then, now, elsewhere=elsewhere):
            said[change.text] = max(said.get(change.text, 0), change.bytes, key=abs)
            scopes.setdefault(change.text, []).append(_spoken(scope))
            keys[change.text] = change.key
    for scope, metrics in golden.figures.items():
        current = measured.figures.get(scope, {})
        changes = [*_categories(scope, "static.", metrics, current)]
        if _spoken(scope) not in {name for names in scopes.values() for name in names}:
            changes += _categories(scope, "category.", metrics, current)
        for size, text in changes:
            said[text] = size
    for scope, metrics in golden.figures.items() if not said and not leaks else ():
        known = [*_alive(golden, scope), *_alive(measured, scope)]
        said |= dict(_borders(scope, metrics, measured.figures.get(scope, {}), known))
    net = change_of(golden, measured)
    growth_first = net is None or net.moved >= 0  # of less, what is gone says more
    texts = sorted(said, key=lambda text: (growth_first and said[text] <= 0, -abs(said[text])))
    told = [
        f"{text}, in {_joined(scopes[text])}{_made_at(keys[text], measured)}"
        if text in scopes
        else text
        for text in texts
    ]
    return [*leaks, *_hints(golden, measured, nothing_else=not told and not leaks), *told]


def legend(texts: Iterable[str]) -> list[str]:
    """What words of a report mean that trainfit made up; only of those that are in it."""
    whole = " ".join(texts)
    return [said for word, said in _LEGEND.items() if re.search(rf"\b{word}\b", whole)]


def leak_hints(left: Sequence[TensorGroup]) -> list[str]:
    """What the tensors that a step leaves behind look like.

    A kept output is one activation; the graph of a backward pass has those of several layers.
    """
    if left and all(group.bytes <= _SCALAR_BYTES for group in left):
        return [SCALAR_KEPT]
    kept = {group.name for group in left if group.category == "activations"}
    return [GRAPH_KEPT] if len(kept) > 1 else []


def left_lines(left: Sequence[TensorGroup], places: Mapping[str, Sequence[str]]) -> list[str]:
    """Tensors, such as those that a step leaves behind, with their places; the first of them."""
    lines = [
        f"{f'{times} x ' if times > 1 else ''}{name} ({category}, {size:,} B)"
        + _at(places.get(place_key(name, size), ()))
        for category, name, size, times in left[:_MOST_NAMED]
    ]
    rest = sum(group.bytes * group.times for group in left[_MOST_NAMED:])
    return [*lines, f"{len(left) - _MOST_NAMED} more of {rest:,} B"] if rest else lines


def _leaks(golden: StepFigures, measured: StepFigures) -> list[str]:
    """What every step leaves behind and did not leave before."""
    told = []
    for scope, metrics in measured.figures.items():
        now, then = (
            _number(metrics, LEFT_METRIC),
            _number(golden.figures.get(scope, {}), LEFT_METRIC),
        )
        if now <= max(then, 0):
            continue
        was = f", was {then:,} B" if then else ""
        stage = "" if scope == ONLY_STAGE else f" of {scope}"
        left = measured.tensors.get(LEFT, [])
        if left:
            whose = f": {'; '.join(left_lines(left, measured.places))}"
        else:
            known = [*_alive(golden, scope), *_alive(measured, scope)]
            names = _of_size(known, now - then)
            whose = f", the size of {' or of '.join(names)}" if names else ""
        told.append(f"leak: every step{stage} leaves {now:,} B behind{was}{whose}")
        told += leak_hints(left)
    return told


def _hints(golden: StepFigures, measured: StepFigures, *, nothing_else: bool) -> list[str]:
    """What the course of the step says, where both sides know it."""
    then, now = (each.figures.get(ONLY_STAGE, {}) for each in (golden, measured))
    if not all({"allocated_bytes", "allocations"} <= side.keys() for side in (then, now)):
        return []
    size = _number(now, "allocated_bytes") - _number(then, "allocated_bytes")
    count = _number(now, "allocations") - _number(then, "allocations")
    if nothing_else and (size or count):
        return [
            f"{size:+,} B and {count:+,} allocations in the course of the step"
            f"{_where_allocated(golden, measured)}, freed again before its peak or after it:"
            " operators were added or removed that make small tensors, such as clip_grad_norm_;"
            " what the step holds and its peaks are as before",
            *(f"new in its course: {line}" for line in _only_now(golden, measured)),
        ]
    if size or count or _number(now, LEFT_METRIC) > max(0, _number(then, LEFT_METRIC)):
        return []
    if _number(now, "entry_bytes") > _number(then, "entry_bytes"):
        return [KEPT_ACROSS]
    kept_longer = any(
        _only_more(golden.tensors.get(scope, ()), measured.tensors.get(scope, ()))
        for scope in golden.tensors.keys() & measured.tensors.keys()
    )
    return [KEPT_LONGER] if kept_longer else []


def _only_now(golden: StepFigures, measured: StepFigures) -> list[str]:
    """Tensors that are known of a step now and were not, at whatever peak they are."""
    known = {group.name for groups in golden.tensors.values() for group in groups} | {UNNAMED}
    new = [
        group for groups in measured.tensors.values() for group in groups if group.name not in known
    ]
    return left_lines(new, measured.places)


def _where_allocated(golden: StepFigures, measured: StepFigures) -> str:
    """The phases in which more or less was allocated, if the step tells phases apart."""
    scopes = [
        _spoken(scope)
        for scope, metrics in measured.figures.items()
        if "/" in scope
        and any(metrics.get(name) != golden.figures.get(scope, {}).get(name) for name in OPTIONAL)
    ]
    return f" (in {_joined(scopes)})" if scopes else ""


def _only_more(golden: Iterable[TensorGroup], measured: Iterable[TensorGroup]) -> bool:
    """Whether activations came on top and none of those that were there has gone."""
    then, now = (
        _counted([group for group in groups if group.category == "activations"])
        for groups in (golden, measured)
    )
    return then < now


def _made_at(key: str, step: StepFigures) -> str:
    return _at(step.places.get(key, ()))


def _at(places: Sequence[str]) -> str:
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return f" [{'; '.join(places[:_MOST_PLACES])}{more}]" if places else ""


def _of_size(known: Iterable[TensorGroup], size: int) -> list[str]:
    names = dict.fromkeys(group.name for group in known if group.bytes == abs(size))
    return list(names)[:_MOST_NAMED]


def _counted(groups: Sequence[TensorGroup]) -> Counter[tuple[str, str, int]]:
    counted: Counter[tuple[str, str, int]] = Counter()
    for category, name, size, count in groups:
        counted[category, name, size] += count
    return counted


def _partner(
    alike: tuple[str, str, int], others: Mapping[tuple[str, str, int], int]
) -> tuple[str, str, int] | None:
    """What a tensor has turned into: of the same name, of the same shape, of the same operator."""
    category, name, _ = alike
    made = _MADE.fullmatch(name)
    peers = [other for other in others if other[0] == category]
    for found in (
        [other for other in others if other[1] == name],
        [other for other in peers if _alike(made, other[1], "operator", "shape")],
        [other for other in peers if _alike(made, other[1], "operator", "dtype")],
    ):
        if found:
            return max(found, key=lambda other: (other[2], other))
    return None


def _alike(made: re.Match[str] | None, name: str, *parts: str) -> bool:
    other = _MADE.fullmatch(name)
    return made is not None and other is not None and made.group(*parts) == other.group(*parts)


def _turned(
    old: tuple[str, str, int], before: int, new: tuple[str, str, int], after: int
) -> TensorChange:
    change = new[2] * after - old[2] * before
    if old[2] == new[2] and old[1] == new[1]:
        words = f"{new[1]} counts as {new[0]}, was {old[0]} ({new[2]:,} B)"
    else:
        word = "grown" if new[2] > old[2] else "shrunk" if new[2] < old[2] else "changed"
        words = f"{word}: {old[1]}, {old[2]:,} B -> "
        words += f"{new[1]}, {new[2]:,} B" if old[1] != new[1] else f"{new[2]:,} B"
        words += f" ({new[0]})"
    if before != after:
        words += f", {after} of them, was {before}"
    return TensorChange(change, words, place_key(new[1], new[2]))


def _appeared(word: str, alike: tuple[str, str, int], count: int) -> TensorChange:
    category, name, size = alike
    times = f"{abs(count)} x " if abs(count) > 1 else ""
    text = f"{word}: {times}{name} ({category}, {size:,} B)"
    return TensorChange(count * size, text, place_key(name, size) if count > 0 else "")


def _categories(scope: str, prefix: str, then: Metrics, now: Metrics) -> Iterator[tuple[int, str]]:
    """Bytes by what they are for: held between steps, or alive at the peak of a phase."""
    for name in dict.fromkeys([*then, *now]):
        change = _number(now, name) - _number(then, name) if name.startswith(prefix) else 0
        if change and now:
            category = name.removeprefix(prefix).removesuffix("_bytes")
            text = f"{abs(change):,} B {'more' if change > 0 else 'less'} of {category} "
            if prefix == "static.":
                text += "held between steps"
                if abs(change) == then.get("static.parameters_bytes"):
                    copy = category == "parameters"
                    text += (
                        " = one more copy of the model" if copy else ", as much as all parameters"
                    )
            else:
                text += "alive at the peak"
            where = "" if scope == ONLY_STAGE else f", in {_spoken(scope)}"
            yield change, text + where


def _borders(
    scope: str, then: Metrics, now: Metrics, known: Iterable[TensorGroup]
) -> Iterator[tuple[str, int]]:
    """What is alive when a phase begins or ends, where no peak has changed."""
    for name, word in (("entry_bytes", "begins"), ("exit_bytes", "ends")):
        change = _number(now, name) - _number(then, name) if name in then and name in now else 0
        if change:
            names = _of_size(known, change)
            whose = f", the size of {' or of '.join(names)}" if names else ""
            more = "more" if change > 0 else "less"
            phase = "the step" if scope.endswith(f"/{OUTSIDE}") else _spoken(scope)
            text = f"{abs(change):,} B {more} alive when {phase} {word}{whose}"
            yield text, change


def _alive(figures: StepFigures, scope: str) -> Iterator[TensorGroup]:
    """The tensors that are known of the stage of a scope."""
    stage = scope.partition("/")[0]
    for other, groups in figures.tensors.items():
        if other.partition("/")[0] == stage:
            yield from groups


def _others(figures: StepFigures, scope: str) -> set[tuple[str, int]]:
    """Name and size of what is alive in other phases of the same stage."""
    elsewhere = {other: groups for other, groups in figures.tensors.items() if other != scope}
    rest = figures.model_copy(update={"tensors": elsewhere})
    return {(group.name, group.bytes) for group in _alive(rest, scope)}


def _spoken(scope: str) -> str:
    """A scope as people say it: ``update``, ``update of layer2``."""
    stage, _, phase = scope.partition("/")
    if not phase:
        return f"stage {stage}"
    return phase if stage == ONLY_STAGE else f"{phase} of {stage}"


def _joined(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        names = [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _number(metrics: Metrics, name: str) -> int:
    value = metrics.get(name, 0)
    return value if isinstance(value, int) else 0
