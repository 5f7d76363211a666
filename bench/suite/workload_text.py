"""What a person types to name a workload: the form in which a workload prints its own label.

::

    backprop[optimizer=adam,lr=0.001] mlp-64-128-128-10 digits b32
    forward_forward                                      # the rest comes from what is given beside

After the algorithm and its options come model, data set and batch size, in this order; each may be
left out where it is given otherwise. ``digits[:500]`` takes the first 500 training samples,
``digits[:-200]`` holds 200 of them out for validation, ``standardised`` after the data set
standardises it, ``crop-flip`` behind that augments its images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from trainfit._files import FileError, NotTomlError, parse_toml
from trainfit._limits import LARGEST_INTEGER, LONGEST_NAME, LONGEST_WORKLOAD
from trainfit._text import shown
from trainfit.bench.errors import BenchError
from trainfit.bench.records.schema import Augment, Workload

FORM = "backprop[optimizer=adam] mlp-64-128-128-10 digits b32"

_BATCH = re.compile(r"b([0-9]+)")
_CUT = re.compile(r"(.+?)(?:\[:([0-9]+)\])?(?:\[:-([0-9]+)\])?")
_OPTION_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STANDARDISED = "standardised"
_AUGMENTS = frozenset(Augment)


class WorkloadTextError(BenchError):
    """What was typed names no workload; the message says what is wrong and what would be right."""


def parse_workload(
    text: str,
    *,
    model: str | None = None,
    dataset: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Workload:
    """Read a workload as a person types it.

    Whether algorithm, model and data set exist is not looked into; only where an option's value
    could be text or something else, the algorithm, if there is one of that name, decides.

    Args:
        text: An algorithm, its options in brackets, model, data set, batch size.
        model: Taken where the text has none.
        dataset: Likewise.
        batch_size: Likewise.
        seed: Of weights and batches.

    Raises:
        WorkloadTextError: The text is not of this form, or something is given nowhere.
    """
    if len(text) > LONGEST_WORKLOAD:
        raise _wrong(text, f"it has more than {LONGEST_WORKLOAD:,} characters")
    algorithm, options, rest = _split(text)
    values = _rest(text, rest.split())
    given = {"model": model, "dataset": dataset, "batch_size": batch_size}
    for key, value in given.items():
        values.setdefault(key, value)
        if values[key] is None:
            raise _wrong(text, f"it has no {_WORDS[key]}")
    if values["batch_size"] < 1:
        raise _wrong(text, f"a batch size of {values['batch_size']}; at least 1 is needed")
    if values.get("train_samples") == 0:
        raise _wrong(text, "the first 0 training samples; at least 1 is needed")
    if values.get("held_out") == 0:
        raise _wrong(text, "0 samples held out; leave [:-0] out, or hold out at least 1")
    for key in ("model", "dataset"):
        if len(values[key]) > LONGEST_NAME:
            raise _wrong(text, f"its {key} has more than {LONGEST_NAME:,} characters")
    return Workload(
        algorithm=algorithm,
        options=parse_options(_pieces(options), algorithm=algorithm),
        seed=seed,
        **values,
    )


_WORDS = {
    "model": "model (add one such as mlp-64-128-128-10, or --model)",
    "dataset": "data set (add one such as digits, or --dataset)",
    "batch_size": "batch size (add one such as b32, or --batch-size)",
}


def parse_options(pairs: Iterable[str], *, algorithm: str | None = None) -> dict[str, Any]:
    """Read options written as ``name=value``.

    A value is what TOML makes of it (``true``, ``3``, ``0.1``, ``"text"``, ``[1, 2]``), and text
    where TOML makes nothing of it. Where the named algorithm takes the text but not the other
    value, as for an option whose choices are ``off`` and ``true``, it is the text.

    Args:
        pairs: The options.
        algorithm: Whose options they are.

    Raises:
        WorkloadTextError: One is not of this form, or is there twice.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, written = (part.strip() for part in pair.partition("="))
        if not (equals and written and _OPTION_NAME.fullmatch(name) and len(name) <= LONGEST_NAME):
            raise WorkloadTextError(
                f"option {shown(pair.strip())} is not of the form name=value, such as lr=0.01"
            )
        if name in options:
            raise WorkloadTextError(f"option {shown(name)} is given twice; leave one out")
        if len(written) > LONGEST_WORKLOAD:
            raise WorkloadTextError(f"option {name}: has more than {LONGEST_WORKLOAD:,} characters")
        try:
            value = _value(written)
        except FileError as problem:
            what = str(problem).removeprefix("value: ")
            raise WorkloadTextError(f"option {name}: {what}") from None
        if not isinstance(value, str) and algorithm and _takes_text(algorithm, name, written):
            value = written
        options[name] = value
    return options


def _split(text: str) -> tuple[str, str, str]:
    """The algorithm, what is in its brackets, and the rest."""
    stripped = text.strip()
    words = stripped.split()
    if not words:
        raise _wrong(text, "it is empty")
    name = re.match(r"[^\s\[]*", stripped)
    algorithm = name[0] if name else ""
    if not algorithm or "]" in algorithm or "=" in algorithm:
        raise _wrong(text, "it does not begin with an algorithm")
    after = stripped[len(algorithm) :]
    if not after.startswith("["):
        return algorithm, "", after
    depth = 0
    for index, letter in enumerate(after):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth == 0:
            options, rest = after[1:index], after[index + 1 :]
            if rest and not rest[0].isspace():
                raise _wrong(text, f"a space is missing after the options, before {shown(rest)}")
            return algorithm, options, rest
    raise _wrong(text, "a ']' is missing")


def _rest(text: str, words: list[str]) -> dict[str, Any]:
    """What follows the algorithm: model, data set and batch size, as far as they are there."""
    values: dict[str, Any] = {}
    if words and (batch := _BATCH.fullmatch(words[-1])):
        values["batch_size"] = _whole(text, batch[1])
        words = words[:-1]
    if len(words) > 1 and words[-1] in _AUGMENTS:
        values["augment"] = Augment(words[-1])
        words = words[:-1]
    if len(words) > 1 and words[-1] == _STANDARDISED:
        values["standardise"] = True
        words = words[:-1]
    behind_data = {"standardise", "augment"} & set(values)
    if words and (len(words) > 1 or (not behind_data and _is_model(words[0]))):
        values["model"] = words[0]
        words = words[1:]
    if words:
        cut = _CUT.fullmatch(words[0])
        values |= {"dataset": words[0]} if cut is None else _cut(text, cut)
    if len(words) > 1:
        raise _wrong(text, f"{shown(words[1])} is too much, or in the wrong place")
    return values


def _is_model(word: str) -> bool:
    """Whether a word that stands alone is a model: a family and sizes, but no generated data."""
    return bool(re.match(r"\w+-\d", word)) and not word.startswith("synthetic-")


def _cut(text: str, cut: re.Match[str]) -> dict[str, Any]:
    sizes = {"train_samples": cut[2], "held_out": cut[3]}
    found = {name: _whole(text, size) for name, size in sizes.items() if size is not None}
    return {"dataset": cut[1], **found}


def _whole(text: str, digits: str) -> int:
    if len(digits) > len(str(LARGEST_INTEGER)):
        raise _wrong(text, f"{shown(digits, quoted=False)} is beyond all measure")
    return int(digits)


def _pieces(options: str) -> Iterator[str]:
    """Split at the commas that are not inside brackets or quotes."""
    if not options.strip():
        return
    depth, quote, start = 0, "", 0
    for index, letter in enumerate(options):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
        elif letter == "," and depth == 0:
            yield options[start:index]
            start = index + 1
    yield options[start:]


def _value(written: str) -> Any:
    try:
        found = parse_toml(f"value = {written}")
    except NotTomlError:
        return written
    value = found.get("value")
    plain = len(found) == 1 and isinstance(value, bool | int | float | str | list)
    return value if plain else written  # TOML has dates, too; no option does


def _takes_text(algorithm: str, name: str, written: str) -> bool:
    """Whether an option takes the text and does not take what TOML makes of it."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    from trainfit.algorithms import get_algorithm  # noqa: PLC0415  (imports torch)
    from trainfit.algorithms.errors import ConfigurationError  # noqa: PLC0415

    try:
        kind: Any = get_algorithm(algorithm).options_type.model_fields[name].annotation
    except (ConfigurationError, KeyError):
        return False  # whoever builds it will say so

    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def takes(value: Any) -> bool:
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    return takes(written) and not takes(_value(written))


def _wrong(text: str, what: str) -> WorkloadTextError:
    return WorkloadTextError(f"workload {shown(text.strip())}: {what}; write it like {FORM!r}")
