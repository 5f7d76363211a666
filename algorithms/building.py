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
    memory and have no values. Only ``stages``, ``enter_stage``, ``check_batch`` and the shapes and
    types of ``static_tensors`` may be used; their results are the same as those of a built
    algorithm. It can be traced; it cannot train or predict.

    A constructor that reads a value (``float(w.max())``) is given a stand-in, 1.

    Args:
        name: As for ``build_algorithm``.
        model: A full model name.
        options: The algorithm's options by name.
        seed: No influence on a sketch.

    Raises:
        ConfigurationError: As for ``build_algorithm``; or its constructor needs values of tensors.
    """
    return _without_values(_maker(name, model, options, seed), get_algorithm(name))


def enter_on_meta(algorithm: Algorithm[Any], index: int) -> None:
    """Enter a stage of an algorithm without values; what that copies has none either.

    Args:
        algorithm: Made by ``build_on_meta``.
        index: Of the stage.
    """
    with meta_tensors():
        algorithm.enter_stage(index)


def twin_on_meta(algorithm: Algorithm[Any]) -> Algorithm[Any]:
    """The same algorithm without values: of the same class, model and options, at its first stage.

    Raises:
        ConfigurationError: Its constructor reads values of tensors.
    """
    cls = type(algorithm)
    return _without_values(partial(cls, algorithm.model, algorithm.options), cls)


def _without_values(
    make: Callable[[], Algorithm[Any]], cls: type[Algorithm[Any]]
) -> Algorithm[Any]:
    try:
        with meta_tensors():
            return make()
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{cls.name} cannot be made without values of its tensors, which a prediction needs: "
            f"its constructor raised {type(error).__name__}: {error}"
        ) from error


def _maker(
    name: str, model: str, options: dict[str, Any] | None, seed: int
) -> Callable[[], Algorithm[Any]]:
    """A function that makes the algorithm, once name, model and options are checked."""
    cls = get_algorithm(name)
    description = get_model(model)
    check_model(cls, description)
    form = cls.form_for(description)
    return partial(form, description, parse_options(cls, options or {}), seed=seed)
