"""What workloads are called in a figure: only what tells them apart, in few words."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from trainfit._text import plain

_ASPECTS = (
    *("model", "dataset", "batch_size", "train_samples", "held_out", "standardise", "shuffle"),
    *("augment", "pretrained", "seed"),
)
_SPELLED = {
    "batch_size": "b{}",
    "seed": "seed {}",
    "train_samples": "{} samples",
    "held_out": "{} held out",
    "epochs": "{} epochs",
}
_SWITCHES = {"standardise": ("", "standardised"), "shuffle": ("in file order", "")}
"""What is said of a switch that is off, and of one that is on."""


def short_labels(frame: pd.DataFrame, *, passes: bool = False) -> list[str]:
    """A name per row: the algorithm, then what differs between rows.

    An option is named where rows of the same algorithm differ in it; model, data set, batch size
    and the rest where any rows do: ``backprop, optimizer=adam``, ``tinyfoa, b64``. Epochs and the
    name of the run are named only where rows would otherwise be called the same.

    Args:
        frame: A row per workload.
        passes: Name epochs wherever rows differ in them: of trained nets they decide.
    """
    varied = {
        name: list(frame[name])
        for name in (*_ASPECTS, *(["epochs"] if passes else []))
        if name in frame and frame[name].nunique(dropna=False) > 1
    }
    options = [json.loads(text) for text in frame["options"]]
    telling = _telling(list(frame["algorithm"]), options)
    labels = []
    for index, (algorithm, chosen) in enumerate(zip(frame["algorithm"], options, strict=True)):
        named = sorted(telling[algorithm] & chosen.keys())
        parts = [algorithm, *(f"{key}={plain(chosen[key])}" for key in named)]
        parts += [_aspect(name, values[index]) for name, values in varied.items()]
        labels.append(", ".join(part for part in parts if part))
    for name in ("epochs", "run"):
        labels = _told_apart(labels, name, list(frame[name])) if name in frame else labels
    return labels


def _telling(algorithms: list[str], options: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Per algorithm the options in which its rows differ; left at the default is a value, too."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for algorithm, chosen in zip(algorithms, options, strict=True):
        rows.setdefault(algorithm, []).append(chosen)
    return {
        algorithm: {
            key
            for key in set().union(*peers)
            if len({json.dumps(peer[key]) if key in peer else None for peer in peers}) > 1
        }
        for algorithm, peers in rows.items()
    }


def _told_apart(labels: list[str], name: str, values: list[Any]) -> list[str]:
    """The labels, with this aspect behind those that several rows with other values of it have."""
    known: dict[str, set[Any]] = {}
    for label, value in zip(labels, values, strict=True):
        known.setdefault(label, set()).add(value)
    return [
        f"{label}, {_aspect(name, value)}" if len(known[label]) > 1 else label
        for label, value in zip(labels, values, strict=True)
    ]


def _aspect(name: str, value: Any) -> str:
    """What is said of an aspect; nothing where it has no value."""
    if pd.isna(value):
        return ""
    if name in _SWITCHES:
        return _SWITCHES[name][bool(value)]
    return _SPELLED.get(name, "{}").format(plain(value))
