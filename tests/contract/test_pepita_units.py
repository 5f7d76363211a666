"""PEPITA on nets of units: its formula in float64, the same steps from less memory, refusals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import prod

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import forward
from tests.contract import test_memory_contract as contract
from tests.contract.cases import UNIT_NETS, samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm, build_on_meta
from trainfit.algorithms.models import Unit, UnitNet
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Nonlinearity,
    Pool,
    Pooling,
    Residual,
)
from trainfit.algorithms.pepita.options import PepitaOptions
from trainfit.algorithms.pepita.units import PepitaOnUnits
from trainfit.bench.trace.prediction import predict

RULES = ["pepita", "mem_pepita"]
NETS = [*UNIT_NETS[:3], ("cnn-3x8x8-c6-i6-a-i12s2-g-3", 5)]
"""Those without squeeze-and-excitation, and one with rectifiers that stop at 6."""
MCU_NETS = [
    ("pepita", "resnet8-3x32x32-10"),
    ("mem_pepita", "ds_cnn-1x49x10-12"),
    ("mem_pepita", "mobilenet_v1_025-3x96x96-2"),
]
"""The nets of Pau & Aymone."""
FUNCTIONS = {Nonlinearity.RELU: torch.relu, Nonlinearity.RELU6: partial(torch.clamp, min=0, max=6)}


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def build(name, model, **options):
    """With statistics, gains and biases as they are after training, and not 0 and 1."""
    algorithm = build_algorithm(name, model, {"momentum": 0.0, "feedback_scale": 0.3} | options)
    generator = torch.Generator().manual_seed(1)
    for each in algorithm.static_tensors():
        if each.name.endswith((".gain", ".variance")):
            each.tensor.uniform_(0.5, 1.5, generator=generator)
        elif each.name.endswith((".bias", ".shift", ".mean")):
            each.tensor.uniform_(-0.2, 0.2, generator=generator)
    return algorithm


# ---- the equations, written once more ------------------------------------------------------------


@dataclass
class Seen:
    """A layer of a pass: what it was given and what it gave."""

    at: str
    layer: Layer
    given: torch.Tensor
    gave: torch.Tensor
    bias: str | None = None


def passed(layers, h, name, tensors, seen):
    """Through some layers, in float64; those with weights are appended to ``seen``."""
    count: Counter[str] = Counter()
    own = None  # the layer whose normalisation or activation may come next
    for layer in layers:
        count[layer.label] += 1
        at, t = f"{name}.{layer.label}{count[layer.label]}", tensors
        match layer:
            case Convolution() | Dense():
                own = Seen(at, layer, h, h, f"{at}.bias" if layer.bias else None)
                seen.append(own)
                if isinstance(layer, Dense):
                    h = h.flatten(1) @ t[f"{at}.weight"].T + t[f"{at}.bias"]
                else:
                    more = layer.stride, layer.padding, 1, layer.groups
                    h = functional.conv2d(h, t[f"{at}.weight"], t.get(f"{at}.bias"), *more)
            case BatchNorm():
                scale = t[f"{at}.gain"] / (t[f"{at}.variance"] + layer.epsilon).sqrt()
                moved = h - t[f"{at}.mean"][:, None, None]
                h = moved * scale[:, None, None] + t[f"{at}.shift"][:, None, None]
                own.bias = f"{at}.shift"
            case Activation():
                h = FUNCTIONS[layer.function](h)
            case _:
                own = None
                h = between(layer, h, name, tensors, seen)
        if own is not None:
            own.gave = h
    return h


def between(layer, h, name, tensors, seen):
    """What has no weights of its own."""
    match layer:
        case Pool(Pooling.MAX):
            return functional.max_pool2d(h, layer.kernel, layer.stride, layer.padding)
        case Pool():
            return functional.avg_pool2d(h, layer.kernel, layer.stride, layer.padding)
        case GlobalAverage():
            return h.mean((2, 3))
        case Residual():
            through = passed(layer.body, h, name, tensors, seen)
            return through + passed(layer.shortcut, h, f"{name}.shortcut", tensors, seen)
    raise NotImplementedError(layer)


def of_net(model, x, tensors):
    """Logits, and all layers with weights in order."""
    seen: list[Seen] = []
    h = x.view(-1, *model.shape)
    for unit in model.units:
        h = passed(unit.layers, h, unit.name, tensors, seen)
    return h, seen


def products(layer, error, given):
    """``error`` times the windows that its positions see, summed over samples and positions."""
    if isinstance(layer, Dense):
        return error.T @ given.flatten(1)
    groups, outputs = layer.groups, layer.outputs
    windows = functional.unfold(given, layer.kernel, 1, layer.padding, layer.stride)
    windows = windows.view(len(given), groups, -1, windows.shape[2])
    error = error.view(len(given), groups, outputs // groups, -1)
    return torch.einsum("ngop,ngip->goi", error, windows).reshape(outputs, -1)


def updates(model, tensors, x, y, *, options):
    """What every trained tensor moves by, in units of the rate, by name."""
    tensors = {name: tensor.double() for name, tensor in tensors.items()}
    x, target = x.double(), functional.one_hot(y, model.classes).double()
    logits, standard = of_net(model, x, tensors)
    error = logits.softmax(1) - target
    logits, second = of_net(model, x + error @ tensors["feedback"], tensors)
    found = {}
    for h, m in zip(standard, second, strict=True):
        own, over = h.gave - m.gave, len(x)
        if m is second[-1]:
            own = error if options.output_error == "standard" else logits.softmax(1) - target
        elif options.positions == "mean":
            over *= prod(own.shape[2:])
        weight = f"{m.at}.weight"
        found[weight] = (products(m.layer, own, m.given) / over).view(tensors[weight].shape)
        if m.bias is not None:
            found[m.bias] = own.transpose(0, 1).flatten(1).sum(1) / over
    return found


# ---- a step --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"positions": "sum"}, {"output_error": "standard"}], ids=str
)
@pytest.mark.parametrize(("model", "rows"), NETS)
@pytest.mark.parametrize("rule", RULES)
def test_a_step_follows_the_formula_and_moves_nothing_else(rule, model, rows, options):
    rate = 64.0  # so large that what is left of the weights rounds little
    algorithm = build(rule, model, lr=rate, **options)
    x, y = samples_for(algorithm, rows)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    expected = updates(algorithm.model, before, x, y, options=algorithm.options)
    assert set(expected) < set(before)
    algorithm.step(x, y)
    for name, tensor in held(algorithm).items():
        if name not in expected:
            assert torch.equal(tensor, before[name]), name
            continue
        moved = (before[name].double() - tensor.double()) / rate
        assert expected[name].abs().max() > 0, name
        assert (moved - expected[name]).norm() <= 1e-3 * expected[name].norm(), name


@pytest.mark.parametrize(("model", "rows"), NETS)
def test_going_through_it_again_takes_the_same_steps(model, rows):
    """To rounding: what is put back of an output is no more exact than the difference."""
    one, other = (build(rule, model, momentum=0.9, lr=0.03) for rule in RULES)
    for seed in range(3):
        for algorithm in (one, other):
            algorithm.step(*samples_for(algorithm, rows, seed))
    for name, tensor in held(one).items():
        assert (tensor - held(other)[name]).norm() <= 1e-4 * tensor.norm() + 1e-7, name


def test_prediction_is_by_the_running_statistics():
    algorithm = build("pepita", NETS[0][0])
    x, _ = samples_for(algorithm, 4)
    expected = forward(algorithm.model, x, held(algorithm), training=False)
    torch.testing.assert_close(algorithm.predict(x), expected)


# ---- what it takes -------------------------------------------------------------------------------


@pytest.mark.parametrize("output_error", ["modulated", "standard"])
@pytest.mark.parametrize("rule", RULES)
def test_multiply_accumulates_are_as_published(rule, output_error):
    """Pau & Aymone 2023: 2 F + WU + P kept, 3 F + WU + P gone through again.

    The classifier runs once less where its output is known or not needed.
    """
    rows, algorithm = 3, build(rule, NETS[0][0], output_error=output_error)
    x, _ = samples_for(algorithm, rows)
    tensors = {name: tensor.double() for name, tensor in held(algorithm).items()}
    _, seen = of_net(algorithm.model, x.double(), tensors)
    each = [one.gave.numel() * tensors[f"{one.at}.weight"][0].numel() for one in seen]
    expected = 3 * sum(each) + rows * algorithm.model.classes * algorithm.model.inputs
    expected -= each[-1] if output_error == "standard" else 0
    expected += sum(each[:-1]) if rule == "mem_pepita" else 0
    operations = predict(algorithm, rows).operations
    assert operations.total().macs.total() == expected
    assert ("forward.repeated" in operations.phases) == (rule == "mem_pepita")


def test_going_through_it_again_needs_no_more_for_more_layers():
    peaks = {
        (rule, depth): predict(
            build_on_meta(rule, f"cnn-1x8x8-{'c8b-' * depth}p-3", {"momentum": 0.0}), 4
        ).device_bytes
        for rule in RULES
        for depth in (3, 9)
    }
    output = 4 * 4 * 8 * 8 * 8  # bytes of a layer's output
    assert peaks["pepita", 9] - peaks["pepita", 3] == 6 * output
    assert peaks["mem_pepita", 9] == peaks["mem_pepita", 3] < peaks["pepita", 3]


@pytest.mark.parametrize(("rule", "model"), MCU_NETS)
def test_the_prediction_is_exact_on_the_nets_of_microcontrollers(rule, model):
    contract.test_the_trace_is_what_is_measured(rule, {}, model, 1)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": 0.5}, "option 'keep' of mem_pepita is for fully connected nets"),
        ({"weights": "binary"}, "option 'weights' of mem_pepita"),
        ({"activations": "binary"}, "option 'activations' of mem_pepita"),
    ],
)
def test_options_of_layers_are_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        build_algorithm("mem_pepita", NETS[0][0], options)


def test_a_net_whose_ways_multiply_is_refused_with_one_that_would_do():
    with pytest.raises(ConfigurationError, match=r"efficientnet_b0.*multiplies.*resnet8"):
        build_on_meta("pepita", "efficientnet_b0-3x32x32-10", {})


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((BatchNorm(), Convolution(4)), "batch normalisation is folded"),
        ((Convolution(4), Activation(), BatchNorm()), "batch normalisation is folded"),
        ((Convolution(4), BatchNorm(), BatchNorm()), "batch normalisation is folded"),
        ((GlobalAverage(),), "trains hidden layers, 'own' has none"),
    ],
)
def test_a_net_that_does_not_fit_the_equations_is_refused(layers, said):
    net = UnitNet("own", "own", (1, 6, 6), (Unit("a", layers), Unit("b", (Dense(3),))))
    with pytest.raises(ConfigurationError, match=said):
        PepitaOnUnits(net, PepitaOptions())


def test_a_net_that_ends_with_something_else_is_refused():
    net = UnitNet("own", "own", (1, 6, 6), (Unit("a", (Convolution(3), GlobalAverage())),))
    with pytest.raises(ConfigurationError, match="dense layer at the end"):
        PepitaOnUnits(net, PepitaOptions())


def test_frozen_parts_are_what_the_docstring_says():
    """Gains and statistics, and the bias before a normalisation, have no state either."""
    algorithm = build_algorithm("pepita", "resnet8-3x32x32-10", {})
    states = [e.name for e in algorithm.static_tensors() if e.category is Category.OPTIMIZER_STATE]
    assert not any(".gain" in name for name in states)
    assert any("block1.bn1.shift" in name for name in states)
    assert not any("block1.conv1.bias" in name for name in states)
    assert any("block2.shortcut.conv1.bias" in name for name in states)


# ---- slips that have to be noticed ---------------------------------------------------------------


@pytest.mark.parametrize("slip", ["feedback", "shift", "positions"])
def test_a_slip_is_noticed(slip):
    """That the comparison is close enough to see what a step must not do."""
    algorithm = build("pepita", NETS[0][0], lr=64.0)
    x, y = samples_for(algorithm, 5)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    of_slip, options = dict(before), algorithm.options
    if slip == "positions":
        options = options.model_copy(update={"positions": "sum"})
    of_slip |= {name: -tensor for name, tensor in before.items() if name.endswith(slip)}
    expected = updates(algorithm.model, of_slip, x, y, options=options)
    algorithm.step(x, y)
    moved = {name: (before[name] - held(algorithm)[name]).double() / 64.0 for name in expected}
    assert max((moved[n] - expected[n]).norm() / expected[n].norm() for n in expected) > 0.1
