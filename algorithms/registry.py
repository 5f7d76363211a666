"""The registry: which rules there are, and what is known of each before it is imported.

Nothing here imports torch until a rule is loaded.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trainfit._imports import current_folder_left_out
from trainfit.algorithms.errors import ConfigurationError, unknown_name
from trainfit.algorithms.options import Description
from trainfit.algorithms.outside import is_outside, require_permitted

if TYPE_CHECKING:
    from trainfit.algorithms.contract import Algorithm

BUILTIN = {
    "asi": "trainfit.algorithms.asi.rule:Asi",
    "backprop": "trainfit.algorithms.backprop.rule:Backprop",
    "backprop_dai8": "trainfit.algorithms.int8.rules:BackpropDai8",
    "backprop_int8": "trainfit.algorithms.int8.rules:BackpropInt8",
    "backprop_ui8": "trainfit.algorithms.int8.rules:BackpropUi8",
    "dfa": "trainfit.algorithms.feedback.rules:Dfa",
    "drtp": "trainfit.algorithms.feedback.rules:Drtp",
    "ff_int8": "trainfit.algorithms.ff_int8.rule:FfInt8",
    "forward_forward": "trainfit.algorithms.forward_forward.rule:ForwardForward",
    "local_head": "trainfit.algorithms.local_head.rule:LocalHead",
    "lora": "trainfit.algorithms.lora.rule:Lora",
    "mem_pepita": "trainfit.algorithms.pepita.mem_pepita:MemPepita",
    "pepita": "trainfit.algorithms.pepita.pepita:Pepita",
    "ptq_int8": "trainfit.algorithms.int8.ptq:PtqInt8",
    "qat_int8": "trainfit.algorithms.int8.qat:QatInt8",
    "sparse_update": "trainfit.algorithms.sparse_update.rule:SparseUpdate",
    "tinyfoa": "trainfit.algorithms.tinyfoa.rule:TinyFoA",
    "zeroth_order": "trainfit.algorithms.zeroth_order.rule:ZerothOrder",
}
"""Registered name to ``module:class``.

The ``options.py`` beside a rule has its description under its name in capitals; a rule without one
is imported to be described.
"""

GROUP = "trainfit.algorithms"
"""Entry-point group through which other distributions register algorithms."""


def algorithm_names() -> list[str]:
    """Names of all registered algorithms, ours first."""
    others = sorted(point.name for point in _entry_points() if point.name not in BUILTIN)
    return [*BUILTIN, *others]


def describe_algorithm(name: str) -> Description:
    """What there is to know about an algorithm; one of ours is not imported for that.

    Raises:
        ConfigurationError: As :func:`get_algorithm`.
    """
    if name in BUILTIN:
        options = BUILTIN[name].partition(":")[0].rpartition(".")[0] + ".options"
        found = getattr(import_module(options), name.upper(), None) if find_spec(options) else None
        if isinstance(found, Description):
            return found
    cls = get_algorithm(name)
    return Description(cls.name, cls.summary, cls.paper, cls.options_type)


def load_algorithm(target: str) -> type[Algorithm[Any]]:
    """Import an algorithm class from ``package.module:Class``.

    Whatever its module raises when it is imported is what is wrong with it.

    Raises:
        ConfigurationError: It cannot be imported or is not an algorithm.
    """
    from trainfit.algorithms.contract import Algorithm  # noqa: PLC0415  (imports torch)

    try:
        module, _, name = target.partition(":")
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        known = isinstance(error, ImportError | AttributeError | ValueError)
        what = str(error) if known else f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            f"cannot load algorithm {target!r}: {what}; expected package.module:Class"
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
        ConfigurationError: Unknown name (with the nearest right ones), a broken plug-in, or one
            from outside that :mod:`trainfit.algorithms.outside` does not permit.
    """
    if name in BUILTIN:
        return load_algorithm(BUILTIN[name])
    if is_outside(name):
        require_permitted(name)
        return load_algorithm(name)
    for point in _entry_points():
        if point.name == name:
            return load_algorithm(point.value)
    raise unknown_name("algorithm", name, algorithm_names())


def _entry_points() -> list[EntryPoint]:
    """Of what is installed; what lies in the current folder is not."""
    with current_folder_left_out():
        return list(entry_points(group=GROUP))
