"""What low-rank training claims of memory: LoRA on device, and low-rank activations (ASI, WASI).

Their memory is what the papers count, which is no peak: elements of stored activations for ASI and
WASI, the plan of a static allocator for LoRA. Here it is judged as bytes that a forward pass leaves
alive, as peak dynamic bytes, and together with what is held between steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainfit.bench.claims.claim import Check, Paper, compare
from trainfit.bench.claims.quantities import BOTH, DYNAMIC, KEY, Quantity, Tables
from trainfit.bench.claims.statistics import CHANGE_PERCENT, RATIO, at_least, at_most
from trainfit.bench.claims.workloads import DEFAULT, Workloads, rule

if TYPE_CHECKING:
    import pandas as pd

SUITES = ["low-rank"]
NETS = {"mlp-784-1000-1000-10": 32, "mlp-784-2000x4-10": 100}
"""Batch by net."""

_STATE = {"optimizer": DEFAULT, "momentum": DEFAULT}
"""Both sides hold a momentum: without one, a side would be smaller by as much as all weights."""

_WHOLE = {"weights": DEFAULT, "checkpoint": DEFAULT, "micro_batch": DEFAULT}
BACKPROP = rule("backprop", update=DEFAULT, **_STATE, **_WHOLE)
FUSED = rule("backprop", update="fused", **_STATE, **_WHOLE)
CLOSED_FORM = rule("sparse_update", layers="all", biases=DEFAULT, **_STATE)
LORA = rule("lora", rank=4, layers=DEFAULT, **_STATE)
ASI = rule("asi", rank=1, layers=DEFAULT, warm_start=DEFAULT, **_STATE)


def _stored(tables: Tables) -> pd.DataFrame:
    values = tables["values"]
    exits = values[(values["phase"] == "forward") & (values["quantity"] == "exit_bytes")]
    found = tables["records"].merge(exits[[*KEY, "value"]], how="left", on=KEY)
    return found.assign(low=found["value"], high=found["value"])


STORED = Quantity("stored_bytes", "bytes alive after the forward pass", "B", _stored, varies=False)
"""Activations that wait for their gradient, rectifiers' bits and logits; of rules of one stage."""


def counted_factor(model: str, batch: int, rank: int = 1) -> float:
    """Elements of the inputs of all layers by those of their factors, as ASI's code counts them.

    Factors of a matrix (B, I) by mode and a core: r B + r I + r r (``num_element_activation`` in
    the released code). Weights, gradients, rectifiers, workspace and the input that is factorised
    are not counted.

    Args:
        model: A net whose widths are in its name, such as ``mlp-784-2000x4-10``.
        batch: B.
        rank: r.
    """
    widths = []
    for part in model.split("-")[1:-1]:
        width, _, times = part.partition("x")
        widths += [int(width)] * int(times or 1)
    return sum(batch * i for i in widths) / sum(rank * (batch + i + rank) for i in widths)


def _on(side: Workloads, model: str) -> Workloads:
    return side.at(model=model, batch_size=NETS[model])


def _widths(model: str) -> str:
    """A net's name in a line that has to fit into a narrow column."""
    return model.removeprefix("mlp-")


def _smaller(factor: float) -> list[Check]:
    """Backpropagation against ASI of rank 1, which stores least."""
    return [
        check
        for model in NETS
        for base, name in ((BACKPROP, "backprop"), (FUSED, "fused backprop"))
        for check in compare(
            f"{_widths(model)}: {name} / ASI of rank 1",
            (STORED, *BOTH) if base is BACKPROP else BOTH,
            RATIO,
            _on(base, model),
            _on(ASI, model),
            expected=at_least(factor),
        )
    ]


_COUNTED = " and ".join(
    f"{counted_factor(model, batch):.0f} times for {model} in batches of {batch}"
    for model, batch in NETS.items()
)

WASI = Paper("wasi", "WASI (Nguyen, Tartaglione & Nguyen, ICLR 2026, arXiv 2510.09160)")
WASI.claim(
    "wasi-62x",
    "Low-rank activations and weights need up to 62 times less memory to train.",
    source="abstract",
    suites=SUITES,
    checks=_smaller(62),
    remark="Theirs is of transformers, with factors of weights, too, which are not implemented"
    " here: this is what factors of activations (asi, rank = 1) do for an MLP. Their code counts"
    f" elements of factors, no peak; counted so, it is {_COUNTED}. What it leaves out is what"
    " remains: the activation in the making, two gradients, bits of rectifiers, and weights with"
    " their state.",
)

ASI_PAPER = Paper("asi", "ASI (Nguyen et al., ICML 2025, arXiv 2505.05086)")
ASI_PAPER.claim(
    "asi-120x",
    "Low-rank activations need up to 120.09 times less activation memory.",
    source="abstract",
    suites=SUITES,
    checks=[
        check
        for model in NETS
        for check in compare(
            f"{_widths(model)}: backprop / ASI of rank 1",
            (STORED, DYNAMIC),
            RATIO,
            _on(BACKPROP, model),
            _on(ASI, model),
            expected=at_least(120.09),
        )
    ],
    remark="Theirs is of convolutional nets, where a tensor has a factor per mode; this is an MLP."
    f" Counted as their code does, elements of factors alone, it is {_COUNTED}. Alive after a"
    " forward pass are also a bit per rectifier, which the code does not count, and the logits; the"
    " factor V is held between steps.",
)

TRAINDEEPLOY = Paper("traindeeploy", "TrainDeeploy (Wang et al., DATE 2026, arXiv 2603.09511)")
TRAINDEEPLOY.claim(
    "traindeeploy-lora-dynamic",
    "LoRA needs at least 23 % less dynamic memory than training all weights.",
    source="abstract",
    suites=SUITES,
    checks=[
        check
        for model in NETS
        for name, base in (
            ("backprop left to autograd", BACKPROP),
            ("fused backprop", FUSED),
            ("backprop in closed form", CLOSED_FORM),
        )
        for check in compare(
            f"{_widths(model)}: LoRA of rank 4 against {name}",
            DYNAMIC,
            CHANGE_PERCENT,
            _on(LORA, model),
            _on(base, model),
            expected=at_most(-23),
        )
    ],
    remark="Theirs is of a transformer of 0.28 M weights under a static allocator. Of an MLP's"
    " dynamic memory it depends on whether the baseline keeps weight gradients: where they all live"
    " together LoRA saves nearly all of them, and where each is applied as it is made (in closed"
    " form: sparse_update, layers = all) there is nothing to save, since A needs the inputs stored"
    " all the same. What LoRA always saves is the optimiser's state, which is not dynamic.",
)
