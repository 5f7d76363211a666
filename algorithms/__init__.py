"""How to train: the registry of algorithms, the contract they keep, models and data.

Other packages add an algorithm with an entry point in the group ``trainfit.algorithms``, or on the
command line with ``--algorithm package.module:Class``.
"""

from __future__ import annotations

if __name__ != "trainfit.algorithms":  # found by its place on the path, a second copy
    raise ImportError("import trainfit.algorithms, not algorithms: it is installed under that name")

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainfit.algorithms.building import build_algorithm as build_algorithm
    from trainfit.algorithms.building import build_on_meta as build_on_meta
    from trainfit.algorithms.building import twin_on_meta as twin_on_meta
    from trainfit.algorithms.contract import Algorithm as Algorithm
    from trainfit.algorithms.contract import StaticTensor as StaticTensor
    from trainfit.algorithms.errors import ConfigurationError as ConfigurationError
    from trainfit.algorithms.models import LocallyConnected as LocallyConnected
    from trainfit.algorithms.models import Mlp as Mlp
    from trainfit.algorithms.models import Model as Model
    from trainfit.algorithms.models import complete_name as complete_name
    from trainfit.algorithms.models import get_model as get_model
    from trainfit.algorithms.options import AlgorithmOptions as AlgorithmOptions
    from trainfit.algorithms.options import Description as Description
    from trainfit.algorithms.phases import Category as Category
    from trainfit.algorithms.phases import phase as phase
    from trainfit.algorithms.phases import tag as tag
    from trainfit.algorithms.registry import algorithm_names as algorithm_names
    from trainfit.algorithms.registry import describe_algorithm as describe_algorithm
    from trainfit.algorithms.registry import get_algorithm as get_algorithm
    from trainfit.algorithms.registry import load_algorithm as load_algorithm

_HOMES = {
    "Algorithm": "contract",
    "AlgorithmOptions": "options",
    "Category": "phases",
    "ConfigurationError": "errors",
    "Description": "options",
    "LocallyConnected": "models",
    "Mlp": "models",
    "Model": "models",
    "StaticTensor": "contract",
    "algorithm_names": "registry",
    "build_algorithm": "building",
    "complete_name": "models",
    "describe_algorithm": "registry",
    "get_algorithm": "registry",
    "get_model": "models",
    "load_algorithm": "registry",
    "phase": "phases",
    "build_on_meta": "building",
    "tag": "phases",
    "twin_on_meta": "building",
}
"""Where each public name lives; most of them import torch, so it is imported when it is used."""

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
