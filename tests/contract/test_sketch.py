"""A sketch says what the algorithm itself would say, and has no values to say it with."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.contract.cases import (
    CASES,
    FEW,
    FEW_IDS,
    ON_NETS,
    ON_NETS_IDS,
    ONE_EACH,
    ONE_EACH_IDS,
    few,
    id_of,
)
from trainfit.algorithms import (
    ConfigurationError,
    Mlp,
    algorithm_names,
    build_algorithm,
    build_on_meta,
    get_algorithm,
)
from trainfit.algorithms.backprop.rule import Backprop
from trainfit.algorithms.memory.meta import meta_tensors
from trainfit.algorithms.registry import BUILTIN
from trainfit.bench.trace.prediction import predict

ROWS = 33
WIDE = "mlp-784-8000x4-10"


def everything(predicted):
    """All that a prediction says."""
    return {
        "static": predicted.static,
        "storage": predicted.storage,
        "peak": predicted.peak_bytes,
        "peak phase": predicted.peak_phase,
        "device": predicted.device_bytes,
        "phases": predicted.phases,
        "at the peak": predicted.live_at_peak,
        "operations": predicted.operations.phases,
    }


def told(value):
    """What an operator is called with; of what is no value only what it is."""
    if isinstance(value, (list, tuple)):
        return [told(each) for each in value]
    return type(value) if isinstance(value, (torch.Generator, torch.ScriptObject)) else value


def traced(trace):
    """All of a trace; of nothing else are the views and the arithmetic computed."""
    return {
        "storages": list(trace.storages),
        "sizes": trace.stream.sizes,
        "addresses": trace.stream.pointers,
        "marks": trace.stream.marks,
        "operators": [
            (
                *each.on_tensors,
                told(each.args),
                told([*each.kwargs.items()]),
                each.makes,
                each.again,
            )
            for each in trace.operators
        ],
        "reads of data": trace.reads_of_data,
    }


@pytest.mark.parametrize(("name", "options", "model"), FEW, ids=FEW_IDS)
def test_a_sketch_is_predicted_like_the_real_one(name, options, model):
    real, sketch = build_algorithm(name, model, options), build_on_meta(name, model, options)
    for index in range(len(real.stages)):
        real.enter_stage(index)
        sketch.enter_stage(index)
        one, other = predict(sketch, ROWS), predict(real, ROWS)
        assert (one.static, one.storage) == (other.static, other.storage)
        assert traced(one.trace) == traced(other.trace)


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_a_sketch_holds_what_the_real_one_holds(name, options, model):
    real, sketch = build_algorithm(name, model, options), build_on_meta(name, model, options)
    assert type(sketch) is type(real)
    assert sketch.stages == real.stages
    for index in range(len(real.stages)):
        real.enter_stage(index)
        sketch.enter_stage(index)
        made = {h.name: (h.tensor.shape, h.tensor.dtype, h.category) for h in real.static_tensors()}
        assert made == {
            h.name: (h.tensor.shape, h.tensor.dtype, h.category) for h in sketch.static_tensors()
        }


@pytest.mark.parametrize(("name", "options", "model"), ONE_EACH, ids=ONE_EACH_IDS)
def test_a_sketch_draws_nothing(name, options, model):
    elsewhere = torch.get_rng_state()
    sketch = build_on_meta(name, model, options, seed=5)
    assert torch.equal(torch.get_rng_state(), elsewhere)
    fresh = torch.Generator().manual_seed(5)
    assert torch.equal(sketch.generator.get_state(), fresh.get_state())


@pytest.mark.parametrize("name", [n for n in algorithm_names() if Mlp in get_algorithm(n).models])
def test_a_wide_net_takes_no_memory(name):
    sketch = build_on_meta(name, WIDE)
    for index in range(len(sketch.stages)):
        sketch.enter_stage(index)
        held = list(sketch.static_tensors())
        assert sum(h.tensor.nbytes for h in held) > 8000 * 8000
        assert [h.name for h in held if not h.tensor.is_meta] == []


@pytest.mark.parametrize(
    ("name", "options"), [case[:2] for case in few(CASES)], ids=[id_of(*c) for c in few(CASES)]
)
def test_a_walk_does_not_grow_with_the_tensors(name, options):
    sketch = build_on_meta(name, WIDE, options)
    sketch.enter_stage(len(sketch.stages) - 1)
    assert len(predict(sketch, 100_000).trace.storages) < 2000


@pytest.mark.parametrize(
    ("name", "model", "options", "message"),
    [
        ("backprob", "mlp-8-4", {}, "unknown algorithm"),
        ("backprop", "mlp-8", {}, "at least inputs and classes"),
        ("backprop", "mlp-8-4", {"momentun": 0.9}, "momentun"),
        ("tinyfoa", "mlp-9-8-4", {}, "does not divide width 9"),
    ],
)
def test_what_cannot_be_built_cannot_be_sketched(name, model, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_on_meta(name, model, options)


def test_a_batch_is_refused_as_by_the_real_one():
    with pytest.raises(ConfigurationError, match="batch size 1"):
        build_on_meta("tinyfoa", "lc-1x1x1-4x2-2").check_batch(1)


class AsksForValues(Backprop):
    """Third parties may do so in a constructor; a sketch is given a stand-in."""

    name = "asks_for_values"

    def __init__(self, model, options, *, seed=0):
        super().__init__(model, options, seed=seed)
        self.largest = self._parameters["w1"].max().item()


class NeedsArrays(Backprop):
    """What leaves torch cannot be had without values."""

    name = "needs_arrays"

    def __init__(self, model, options, *, seed=0):
        super().__init__(model, options, seed=seed)
        self.sorted = sorted(self._parameters["w1"].detach().numpy().ravel())


def test_a_constructor_that_reads_a_value_is_given_a_stand_in():
    sketch = build_on_meta(f"{__name__}:AsksForValues", "mlp-8-6-4", seed=3)
    real = build_algorithm(f"{__name__}:AsksForValues", "mlp-8-6-4", seed=3)
    assert sketch.largest == 1.0
    assert everything(predict(sketch, 7)) == everything(predict(real, 7))


def test_a_constructor_that_needs_arrays_is_refused():
    with pytest.raises(ConfigurationError, match="needs_arrays cannot be made without values"):
        build_on_meta(f"{__name__}:NeedsArrays", "mlp-8-6-4")
    real = build_algorithm(f"{__name__}:NeedsArrays", "mlp-8-6-4")
    with pytest.raises(ConfigurationError, match="needs_arrays cannot be made without values"):
        predict(real, 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda g: torch.empty(3, 4).uniform_(-1, 1, generator=g),
        lambda g: torch.empty(3, 4).normal_(0, 2, generator=g).clamp_(min=-1),
        lambda g: torch.randn(3, 4, generator=g, dtype=torch.float64).abs(),
        lambda g: torch.randn(3, 4, generator=g).mean(),
        lambda g: torch.randn(3, 4, generator=g).mean(0, keepdim=True),
        lambda g: torch.randn((3, 4), generator=g).mean(dim=1, dtype=torch.float64),
        lambda g: torch.randn((3, 4), generator=g).amin((0, 1)),
        lambda g: torch.randn((3, 4), generator=g).amin((1,)).clamp(min=-1),
        lambda g: torch.ge(torch.randn((3, 4), generator=g), 0.0),
        lambda g: torch.ge(torch.randn((3, 4), generator=g), 0.0, out=torch.empty(3, 4)),
    ],
    ids=range(10),
)
def test_what_stands_in_for_an_operator_has_its_shape_and_type(make):
    real = make(torch.Generator().manual_seed(1))
    with meta_tensors():
        sketch = make(torch.Generator().manual_seed(1))
    assert sketch.is_meta
    assert (sketch.shape, sketch.dtype) == (real.shape, real.dtype)


WITHOUT_COMPILER = [
    ("backprop", {"loss": "binary_cross_entropy"}),
    ("ff_int8", {"kernel": "torch"}),
    ("forward_forward", {"implementation": "autograd", "peer": 0.03}),
    ("forward_forward", {"negatives": "hard"}),
    ("forward_forward", {"passes": "joint"}),
    ("local_head", {"batch_norm": True}),
    ("local_head", {"loss": "sim"}),
    ("tinyfoa", {}),
    ("tinyfoa", {"features": "cached"}),
    ("zeroth_order", {"loss": "binary_cross_entropy"}),
]
"""Rules with options whose operators torch would find the results of in Python."""


def test_neither_compilers_nor_kernels_are_imported():
    """By no rule and no operator of a step; each takes longer than a hundred predictions.

    Looked at in a process of its own, once for all: what one rule imports is there for the next.
    Nor is sympy, which some of torch's compiler needs.
    """
    code = (
        "import sys\n"
        "from trainfit.bench.records.schema import Workload\n"
        "from trainfit.bench.sizing.predicted_workload import predicted_workload\n"
        f"for name, options in {[(name, {}) for name in BUILTIN] + WITHOUT_COMPILER!r}:\n"
        "    for model in ('mlp-16-8x2-4', 'mlp-64-32-16-10'):\n"
        "        predicted_workload(Workload(algorithm=name, options=options, dataset='none',\n"
        "                                    model=model, batch_size=4))\n"
        "    assert not {'numba', 'sympy', 'torch._dynamo'} & set(sys.modules), (name, options)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
