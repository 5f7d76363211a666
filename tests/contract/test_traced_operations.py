"""The arithmetic that follows from a step's trace is that which its rule states by hand.

Products are the same everywhere but where the statement by hand is wrong. Operations on elements
are the same but where they are listed, with the reason; whatever is not listed is equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.cases import ON_NETS, ON_NETS_IDS
from trainfit.algorithms import build_on_meta
from trainfit.algorithms.memory.operations import PhaseOperations
from trainfit.bench.trace.operations import operations_of
from trainfit.bench.trace.tracing import trace_stage

ROWS = 12

Options = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """Where a trace and the statement by hand differ, and why.

    Attributes:
        where: Phase and kind of operation, or phase and what of products.
        why: What is counted by one of them only.
        of: Whether it concerns a rule with options on a net.
    """

    where: str
    why: str
    of: Callable[[str, Options, str], bool]


def rule(*names: str, **wanted: Any) -> Callable[[str, Options, str], bool]:
    """Of these rules, with these options."""
    return lambda name, options, _: (
        name in names and all(options.get(key) == value for key, value in wanted.items())
    )


def has(*keys: str) -> Callable[[str, Options, str], bool]:
    return lambda name, options, _: any(key in options for key in keys)


def both(*conditions: Callable[[str, Options, str], bool]) -> Callable[[str, Options, str], bool]:
    return lambda *case: all(condition(*case) for condition in conditions)


def on_maps(name: str, options: Options, model: str) -> bool:
    return model.startswith("lc")


EVERYTHING = "add multiply compare divide transcendental random"

PRODUCTS = [
    Difference(
        "gradient: macs operands results",
        "the signs of an error are an operand of additions; by hand they were floats",
        rule("dfa", signal="sign"),
    ),
    Difference(
        "forward: operands; gradient: operands",
        "every position of a map has weights and a patch of its own; by hand they were read once",
        on_maps,
    ),
    Difference(
        "update: operands",
        "the parts of a layer are one product, into one parameter, that reads its input once",
        rule("local_head", loss="predsim", momentum=0.0),
    ),
]

ELEMENTS = [
    # what traces count, and the statement by hand leaves out
    Difference(
        "forward: add; gradient: add",
        "signs are multiplied as zeros and ones, so that the other operand is summed, too",
        lambda name, options, model: (
            options.get("weights") == "binary"
            or (name == "tinyfoa" and options.get("weights") != "float")
        ),
    ),
    Difference(
        "gradient: compare",
        "the signs of latent weights are found again",
        rule("backprop", weights="binary"),
    ),
    Difference(
        "forward: compare; gradient: compare multiply",
        "masks of rectifiers are bits: found forward, and multiplied by",
        rule("asi", "lora", "sparse_update"),
    ),
    Difference(
        "forward: multiply; gradient: multiply",
        "the factor of an adapter, which is not 1",
        both(rule("lora"), lambda _, options, __: options.get("rank", 4) != 4),
    ),
    Difference(
        "forward: multiply",
        "the error is projected with a factor on every input",
        rule("pepita", "mem_pepita"),
    ),
    Difference(
        "forward: add multiply divide",
        "the length of the input itself",
        rule("forward_forward"),
    ),
    Difference(
        "forward: random; gradient: random",
        "labels and seeds are drawn, too",
        rule(
            "backprop_dai8",
            "backprop_int8",
            "backprop_ui8",
            "ff_int8",
            "forward_forward",
            "zeroth_order",
        ),
    ),
    Difference(
        "forward: compare multiply divide transcendental random",
        "the race between wrong labels",
        rule("forward_forward", negatives="hard"),
    ),
    Difference(
        "gradient: divide",
        "means over peers are divided by their number",
        both(rule("forward_forward"), has("peer")),
    ),
    Difference(
        "forward: divide multiply transcendental",
        "normally distributed numbers are made from uniform ones",
        rule("asi", warm_start=False),
    ),
    Difference(
        "forward: add compare divide multiply random",
        "the input is quantised for every pass; scales of rows have bounds",
        rule("ff_int8"),
    ),
    Difference(
        "gradient: compare multiply",
        "scales of rows have bounds; a factor of 1 is none",
        both(rule("ff_int8"), has("lookahead")),
    ),
    Difference(
        "gradient: add multiply compare divide",
        "what is done per output to find where to clip; the magnitude of a number is no comparison",
        rule("backprop_dai8"),
    ),
    Difference(
        "forward: compare",
        "signs are cut off at 0",
        rule("tinyfoa"),
    ),
    # what is stated by hand, and not done, or done elsewhere
    Difference(
        "gradient: add multiply divide",
        "updates within the gradient's phase are counted in both by hand",
        rule("backprop", "ptq_int8", update="fused"),
    ),
    Difference(
        "forward: add; gradient: add",
        "running averages take 3 additions per channel, by hand 5; sums of tiles are added",
        lambda _, options, model: on_maps(_, options, model) or bool(options.get("batch_norm")),
    ),
    Difference(
        "update: multiply",
        "the decay of a scale is one number",
        both(rule("backprop_int8"), has("weight_decay")),
    ),
    Difference(
        "update: add multiply",
        "of a part with a single unit single numbers are left out",
        rule("local_head", parts=8),
    ),
    Difference(
        "forward: multiply; gradient: multiply; update: compare",
        "the same",
        both(on_maps, rule("tinyfoa", slices=4)),
    ),
    Difference(
        "gradient: add divide",
        "what is computed in Python's numbers",
        rule("zeroth_order"),
    ),
    # other ways to the same
    Difference(
        f"forward: {EVERYTHING}; gradient: {EVERYTHING}",
        "the loss as torch's autograd runs it, in the phases it runs in",
        rule("forward_forward", implementation="autograd"),
    ),
    Difference(
        f"forward: {EVERYTHING}; gradient: {EVERYTHING}; update: multiply",
        "the same, and torch's Adam, which has five factors",
        rule("tinyfoa", variant="released"),
    ),
    Difference(
        f"forward: {EVERYTHING}; gradient: {EVERYTHING}; update: {EVERYTHING}",
        "kernels in plain torch, which are there to check others, hash their random numbers",
        rule("backprop_int8", "backprop_ui8", "ff_int8", kernel="torch"),
    ),
]


def allowed(differences: list[Difference], case: tuple[str, Options, str]) -> set[tuple[str, str]]:
    """(phase, what) of all that may differ in a case."""
    return {
        (phase.strip(), what)
        for each in differences
        if each.of(*case)
        for part in each.where.split(";")
        for phase, _, whats in [part.partition(":")]
        for what in whats.split()
    }


def of_products(one: PhaseOperations, other: PhaseOperations) -> Iterator[str]:
    """What of their products differs."""
    for what in ("macs", "operands", "results"):
        if getattr(one, what) != getattr(other, what):
            yield what


def of_elements(one: PhaseOperations, other: PhaseOperations) -> Iterator[str]:
    """The kinds of operations that differ."""
    for key in one.elementwise.keys() | other.elementwise.keys():
        if one.elementwise[key] != other.elementwise[key]:
            yield str(key[1])


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_a_trace_has_the_arithmetic_that_a_rule_states(
    name: str, options: Options, model: str
) -> None:
    algorithm = build_on_meta(name, model, options)
    case = name, options, model
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        stated = algorithm.memory_model(ROWS).operations.phases
        traced = operations_of(trace_stage(algorithm, ROWS)).phases
        assert set(traced) == set(stated), stage
        pairs = [(phase, traced[phase], stated[phase]) for phase in stated]
        products = {(p.split(".")[0], what) for p, a, b in pairs for what in of_products(a, b)}
        assert products <= allowed(PRODUCTS, case), stage
        elements = {(p.split(".")[0], what) for p, a, b in pairs for what in of_elements(a, b)}
        assert elements <= allowed(ELEMENTS, case), stage


LARGER = [
    # and how many more operations on elements a trace has, for the reasons above
    ("backprop", {"optimizer": "adam"}, "mlp-200-150-100-10", 0),
    ("backprop", {"weights": "binary", "activations": "binary"}, "mlp-200-144-96-10", 20_832),
    ("drtp", {"weights": "binary", "activations": "binary"}, "mlp-200-144-96-10", 4_128),
    ("tinyfoa", {}, "mlp-784-256-128-10", 1_536),
    ("ff_int8", {}, "mlp-784-256-128-10", 65_977),
    ("backprop_ui8", {}, "mlp-784-256-128-10", 1),
]


@pytest.mark.parametrize(
    ("name", "options", "model", "more"), LARGER, ids=[each[0] for each in LARGER]
)
def test_tiles_and_lookups_of_larger_nets_are_the_same_products(
    name: str, options: Options, model: str, more: int
) -> None:
    algorithm = build_on_meta(name, model, options)
    algorithm.enter_stage(len(algorithm.stages) - 1)
    stated = algorithm.memory_model(ROWS).operations
    traced = operations_of(trace_stage(algorithm, ROWS))
    for phase, tally in stated.phases.items():
        assert not list(of_products(tally, traced.phases[phase])), phase
    assert traced.total().elementwise.total() == stated.total().elementwise.total() + more
