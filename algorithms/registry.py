"""The registry: which rules there are, and what is known of each before it is imported.

Nothing here imports torch until a rule is loaded.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from trainfit.algorithms.errors import ConfigurationError, unknown_name
from trainfit.algorithms.options import Description

if TYPE_CHECKING:
    from trainfit.algorithms.contract import Algorithm

BUILTIN = {
    "backprop": ("backprop.rule:Backprop", "backprop.options:BACKPROP"),
    "backprop_dai8": ("int8.rules:BackpropDai8", "int8.options:BACKPROP_DAI8"),
    "backprop_int8": ("int8.rules:BackpropInt8", "int8.options:BACKPROP_INT8"),
    "backprop_ui8": ("int8.rules:BackpropUi8", "int8.options:BACKPROP_UI8"),
    "dfa": ("feedback.rules:Dfa", "feedback.options:DFA"),
    "drtp": ("feedback.rules:Drtp", "feedback.options:DRTP"),
    "ff_int8": ("ff_int8.rule:FfInt8", "ff_int8.options:FF_INT8"),
    "forward_forward": (
        "forward_forward.rule:ForwardForward",
        "forward_forward.options:FORWARD_FORWARD",
    ),
    "local_head": ("local_head.rule:LocalHead", "local_head.options:LOCAL_HEAD"),
    "mem_pepita": ("pepita.mem_pepita:MemPepita", "pepita.options:MEM_PEPITA"),
    "pepita": ("pepita.pepita:Pepita", "pepita.options:PEPITA"),
    "ptq_int8": ("int8.ptq:PtqInt8", "int8.options:PTQ_INT8"),
    "qat_int8": ("int8.qat:QatInt8", "int8.options:QAT_INT8"),
    "sparse_update": ("sparse_update.rule:SparseUpdate", "sparse_update.options:SPARSE_UPDATE"),
    "tinyfoa": ("tinyfoa.rule:TinyFoA", "tinyfoa.options:TINYFOA"),
    "zeroth_order": ("zeroth_order.rule:ZerothOrder", "zeroth_order.options:ZEROTH_ORDER"),
}
"""Registered name to rule and description, each ``module:name`` below this folder."""

GROUP = "trainfit.algorithms"
"""Entry-point group through which other distributions register algorithms."""


def algorithm_names() -> list[str]:
    """Names of all registered algorithms, ours first."""
    others = sorted(point.name for point in entry_points(group=GROUP) if point.name not in BUILTIN)
    return [*BUILTIN, *others]


def describe_algorithm(name: str) -> Description:
    """What there is to know about an algorithm; one of ours is not imported for it.

    Raises:
        ConfigurationError: As :func:`get_algorithm`.
    """
    if name in BUILTIN:
        found: Description = _named(f"{__package__}.{BUILTIN[name][1]}")
        return found
    cls = get_algorithm(name)
    return Description(cls.name, cls.summary, cls.paper, cls.options_type)


def load_algorithm(target: str) -> type[Algorithm[Any]]:
    """Import an algorithm class from ``package.module:Class``.

    Raises:
        ConfigurationError: It cannot be imported or is not an algorithm.
    """
    from trainfit.algorithms.contract import Algorithm  # noqa: PLC0415  (imports torch)

    try:
        found = _named(target)
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
        return load_algorithm(f"{__package__}.{BUILTIN[name][0]}")
    if ":" in name:
        return load_algorithm(name)
    for point in entry_points(group=GROUP):
        if point.name == name:
            return load_algorithm(point.value)
    raise unknown_name("algorithm", name, algorithm_names())


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
