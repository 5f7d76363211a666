"""Algorithms made from names: ready to train, or of which only shapes are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from trainfit.algorithms.contract import Algorithm, check_model, parse_options
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.memory.meta import meta_tensors
from trainfit.algorithms.models import get_model
from trainfit.algorithms.registry import get_algorithm


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


def build_on_meta(
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
        with meta_tensors():
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
