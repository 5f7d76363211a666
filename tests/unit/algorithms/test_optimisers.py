"""Weight decay and Nesterov's momentum against torch.optim, on every path an update can take."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.numerics.optimisers import Adam, Sgd
from trainfit.algorithms.numerics.shrinking import LEAST, Shrinking
from trainfit.algorithms.phases import observing, phase
from trainfit.bench.trace.operations import operations_of
from trainfit.bench.trace.recorder import Recorder

STEPS = 20
PATHS = ["apply", "apply_rows", "apply_product", "apply_product of a vector"]
FORMS = [
    {"momentum": 0.0, "weight_decay": 0.02},
    {"momentum": 0.9, "weight_decay": 0.02},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "weight_decay": 0.02, "nesterov": True},
]


def run(ours, theirs, path, *, rate=lambda step: 0.05, shape=(37, 29)):
    """The parameter after some steps, ours and torch's; its start."""
    generator = torch.Generator().manual_seed(0)
    vector = path.endswith("vector")
    shape = shape[:1] if vector else shape
    start = torch.randn(shape, generator=generator)
    mine, its = start.clone(), start.clone().requires_grad_()
    reference = theirs([its])
    ours.add("p", mine)
    for step in range(STEPS):
        left = torch.randn(shape[0], 11, generator=generator)
        right = torch.randn(11, *shape[1:], generator=generator) / 10
        ours.lr = reference.param_groups[0]["lr"] = rate(step)
        its.grad = left @ right
        reference.step()
        ours.begin_step()
        if path == "apply":
            ours.apply("p", mine, left @ right)
        elif path == "apply_rows":
            for rows in (slice(0, 10), slice(10, shape[0])):
                ours.apply_rows("p", mine, left[rows] @ right, rows)
        else:
            ours.apply_product("p", mine, left, right)
    return mine, its.detach(), start


@pytest.mark.parametrize("form", FORMS, ids="-".join)
@pytest.mark.parametrize("path", PATHS)
def test_sgd_is_torchs(path, form):
    mine, its, _ = run(Sgd(0.05, **form), lambda p: torch.optim.SGD(p, lr=0.05, **form), path)
    torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)
    plain = {"momentum": form["momentum"]}
    without, _, _ = run(Sgd(0.05, **plain), lambda p: torch.optim.SGD(p, lr=0.05, **plain), path)
    assert (without - its).abs().max() > 0.01


@pytest.mark.parametrize("path", PATHS)
def test_a_rate_that_changes_moves_nesterovs_point_as_torch_does(path):
    form = {"momentum": 0.9, "weight_decay": 0.02, "nesterov": True}
    mine, its, _ = run(
        Sgd(0.05, **form),
        lambda p: torch.optim.SGD(p, lr=0.05, **form),
        path,
        rate=lambda step: 0.2 / (1 + step),
    )
    torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_adam_is_torchs(path, compiled):
    decay = {"weight_decay": 0.5}
    mine, its, _ = run(
        Adam(0.05, **decay, compiled=compiled),
        lambda p: torch.optim.Adam(p, lr=0.05, **decay),
        path,
        shape=(370, 29),  # more than one tile
    )
    torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)
    without, _, _ = run(Adam(0.05), torch.optim.Adam, path, shape=(370, 29))
    assert (without - its).abs().max() > 0.01


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="torch fuses no multiply-adds here"
)
@pytest.mark.parametrize("elements", [1, 7, 33, 1000, 65539])
def test_compiled_adam_decays_with_the_bits_of_the_tiled_one(elements):
    results = []
    for compiled in (False, True):
        generator = torch.Generator().manual_seed(elements)
        parameter = torch.randn(elements, generator=generator)
        adam = Adam(1e-3, weight_decay=0.3, compiled=compiled)
        adam.add("p", parameter)
        for power in range(5):
            adam.begin_step()
            gradient = torch.randn(elements, generator=generator) * 10.0**-power
            adam.apply("p", parameter, gradient)
        results.append([parameter, *(state for _, state in adam.states())])
    for tiled, compiled in zip(*results, strict=True):
        assert torch.equal(tiled, compiled)


# ---- decay as a factor ----------------------------------------------------------------------


@pytest.mark.parametrize("part", [1e-9, 3e-8, 1e-7, 2.5e-6, 1e-3, 0.5])
def test_factors_of_single_precision_take_off_what_they_should(part):
    shrinking, left, steps = Shrinking(), 1.0, 3000
    for step in range(1, steps + 1):
        factor = shrinking.factor(part)
        assert factor == float(torch.tensor(factor))  # a float32
        left *= factor
        assert left == pytest.approx((1.0 - part) ** step, rel=2 * LEAST)


def test_a_factor_for_parts_beyond_all_is_what_is_left():
    assert Shrinking().factor(1.0) == 0.0
    assert Shrinking().factor(1.5) == -0.5
    shrinking = Shrinking()
    assert [shrinking.factor(1.0), shrinking.factor(0.25)] == [0.0, 0.75]
    assert Shrinking().factor(0.0) == 1.0


def test_a_small_decay_of_products_is_not_lost_in_single_precision():
    """1 - 2e-8 is 1 as a float32: a factor taken as it stands would never decay."""
    rate, decay, steps = 2e-4, 1e-4, 20000
    start = torch.linspace(0.5, 2.0, 64)[:, None] * torch.ones(2)
    parameter, sgd = start.clone(), Sgd(rate, 0.0, weight_decay=decay)
    sgd.add("p", parameter)
    nothing = torch.zeros(64, 1), torch.zeros(1, 2)
    for _ in range(steps):
        sgd.apply_product("p", parameter, *nothing)
    left = (parameter.double() / start.double()).mean()
    assert 1.0 - float(left) == pytest.approx(1.0 - (1.0 - rate * decay) ** steps, rel=0.02)


# ---- arithmetic -----------------------------------------------------------------------------


class Counting(TorchDispatchMode):
    """Multiplications and additions of the element operations, and of products on what they add to.

    A factor of 1 is no multiplication.
    """

    def __init__(self):
        super().__init__()
        self.multiply = self.add = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        factors = 0
        if name in ("add", "add_", "addmm_", "addmv_"):
            factors = sum(kwargs.get(key, 1) != 1 for key in ("alpha", "beta"))
            self.add += made.numel()
        self.multiply += factors * made.numel()
        return made


def take(sgd, path, parameter, others):
    """A step by one of the paths."""
    left, right, gradient = others
    if path == "apply":
        sgd.apply("p", parameter, gradient)
    elif path == "apply_rows":
        sgd.apply_rows("p", parameter, gradient, slice(0, 8))
    else:
        sgd.apply_product("p", parameter, left, right)


@pytest.mark.parametrize("form", [{"momentum": 0.0}, {"momentum": 0.9}, *FORMS], ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_the_stated_arithmetic_of_sgd_is_that_of_its_operators(path, form):
    sgd, inner = Sgd(0.5, **form), 11
    parameter = torch.ones(8) if path.endswith("vector") else torch.ones(8, 6)
    left, right = torch.ones(8, inner), torch.ones(inner, *parameter.shape[1:])
    sgd.add("p", parameter)
    gradient = left @ right
    with Counting() as seen:
        take(sgd, path, parameter, (left, right, gradient))
    recorder, on_meta = Recorder(), Sgd(0.5, **form)
    bare, *others = (tensor.to("meta") for tensor in (parameter, left, right, gradient))
    on_meta.add("p", bare)
    with observing(recorder), recorder:
        recorder.begin()
        with phase("update"):
            take(on_meta, path, bare, others)
    stated = operations_of(recorder.finish()).total().elementwise
    product = 8 * inner if path.endswith("vector") else 0  # counted one by one, not as a product
    assert stated[NumberFormat.FP32, Kind.MULTIPLY] == seen.multiply + product
    assert stated[NumberFormat.FP32, Kind.ADD] == seen.add + product
