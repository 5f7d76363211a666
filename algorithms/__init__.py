"""How to train: the registry of algorithms, the contract they keep, models and data.

Other packages add an algorithm with an entry point in the group ``trainfit.algorithms``, or on the
command line with ``--algorithm package.module:Class``.
"""

from __future__ import annotations

if __name__ != "trainfit.algorithms":  # found by its place on the path, a second copy
    raise ImportError("import trainfit.algorithms, not algorithms: it is installed under that name")

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from trainfit.algorithms.contract import (
    Algorithm,
    AlgorithmOptions,
    StaticTensor,
    check_model,
    parse_options,
)
from trainfit.algorithms.errors import ConfigurationError, unknown_name
from trainfit.algorithms.memory.meta import only_shapes
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.models import LocallyConnected, Mlp, Model, complete_name, get_model
from trainfit.algorithms.phases import Category, phase, tag

BUILTIN = {
    "backprop": "trainfit.algorithms.backprop.rule:Backprop",
    "backprop_dai8": "trainfit.algorithms.int8.rules:BackpropDai8",
    "backprop_int8": "trainfit.algorithms.int8.rules:BackpropInt8",
    "backprop_ui8": "trainfit.algorithms.int8.rules:BackpropUi8",
    "dfa": "trainfit.algorithms.feedback.rules:Dfa",
    "drtp": "trainfit.algorithms.feedback.rules:Drtp",
    "ff_int8": "trainfit.algorithms.ff_int8.rule:FfInt8",
    "forward_forward": "trainfit.algorithms.forward_forward.rule:ForwardForward",
    "local_head": "trainfit.algorithms.local_head.rule:LocalHead",
    "mem_pepita": "trainfit.algorithms.pepita.mem_pepita:MemPepita",
    "pepita": "trainfit.algorithms.pepita.pepita:Pepita",
    "ptq_int8": "trainfit.algorithms.int8.ptq:PtqInt8",
    "qat_int8": "trainfit.algorithms.int8.qat:QatInt8",
    "sparse_update": "trainfit.algorithms.sparse_update.rule:SparseUpdate",
    "tinyfoa": "trainfit.algorithms.tinyfoa.rule:TinyFoA",
    "zeroth_order": "trainfit.algorithms.zeroth_order:ZerothOrder",
}
"""Registered name to ``module:class``; imported only when used."""

GROUP = "trainfit.algorithms"
"""Entry-point group through which other distributions register algorithms."""


def algorithm_names() -> list[str]:
    """Names of all registered algorithms, ours first."""
    others = sorted(point.name for point in entry_points(group=GROUP) if point.name not in BUILTIN)
    return [*BUILTIN, *others]


def load_algorithm(target: str) -> type[Algorithm[Any]]:
    """Import an algorithm class from ``package.module:Class``.

    Raises:
        ConfigurationError: It cannot be imported or is not an algorithm.
    """
    module_name, _, class_name = target.partition(":")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot load algorithm {target!r}: {error}; expected package.module:Class"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise ConfigurationError(
            f"{target!r} is not a subclass of trainfit.algorithms.contract.Algorithm"
        )
    missing = [a for a in ("name", "summary", "paper", "options_type") if not hasattr(found, a)]
    if missing or found.__abstractmethods__:
        lacking = sorted({*missing, *found.__abstractmethods__})
        raise ConfigurationError(f"algorithm {target!r} lacks {', '.join(lacking)}")
    return found


def get_algorithm(name: str) -> type[Algorithm[Any]]:
    """The algorithm class registered under ``name``, or named as ``package.module:Class``.

    Raises:
        ConfigurationError: Unknown name (with the nearest right ones) or a broken plug-in.
    """
    if name in BUILTIN:
        return load_algorithm(BUILTIN[name])
    if ":" in name:
        return load_algorithm(name)
    for point in entry_points(group=GROUP):
        if point.name == name:
            return load_algorithm(point.value)
    raise unknown_name("algorithm", name, algorithm_names())


def build_algorithm(
    name: str, model: str, options: dict[str, Any] | None = None, *, seed: int = 0
) -> Algorithm[Any]:
    """Make an algorithm ready to train a freshly initialised model.

    Args:
        name: A registered name or ``package.module:Class``.
        model: A full model name such as ``mlp-64-128-128-10``.
        options: The algorithm's options by name; see ``trainfit algorithms``.
        seed: Seed of weights, fixed heads and negative samples.

    Raises:
        ConfigurationError: Unknown names or options, or sizes that do not fit together.
    """
    return _maker(name, model, options, seed)()


def sketch_algorithm(
    name: str, model: str, options: dict[str, Any] | None = None, *, seed: int = 0
) -> Algorithm[Any]:
    """Make an algorithm whose tensors have shapes but no values: fast for a net of any size.

    It is built like ``build_algorithm`` does, but on torch's meta device, whose tensors take no
    memory and have no values. Only ``stages``, ``enter_stage``, ``check_batch``, ``memory_model``
    and the shapes and types of ``static_tensors`` may be used; their results are the same as those
    of a built algorithm. It cannot train or predict.

    An algorithm whose constructor reads values of tensors cannot be sketched (none of ours does);
    it is built with real tensors instead, at the full cost in time and memory.

    Args:
        name: As for ``build_algorithm``.
        model: A full model name.
        options: The algorithm's options by name.
        seed: Used only if the algorithm has to be built; no influence on a sketch.

    Raises:
        ConfigurationError: As for ``build_algorithm``.
    """
    make = _maker(name, model, options, seed)
    try:
        with only_shapes():
            return make()
    except ConfigurationError:
        raise
    except Exception:  # any error of a constructor that needs values of tensors
        return make()


def _maker(
    name: str, model: str, options: dict[str, Any] | None, seed: int
) -> Callable[[], Algorithm[Any]]:
    """A function that makes the algorithm, once name, model and options are checked."""
    cls = get_algorithm(name)
    description = get_model(model)
    check_model(cls, description)
    return partial(cls, description, parse_options(cls, options or {}), seed=seed)


__all__ = [
    "Algorithm",
    "AlgorithmOptions",
    "Category",
    "ConfigurationError",
    "LocallyConnected",
    "MemoryPlan",
    "Mlp",
    "Model",
    "StaticTensor",
    "algorithm_names",
    "build_algorithm",
    "complete_name",
    "get_algorithm",
    "get_model",
    "load_algorithm",
    "phase",
    "sketch_algorithm",
    "tag",
]
