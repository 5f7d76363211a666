"""DRTP, DFA and PEPITA with binary weights and activations: formulas, bits and bytes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.numerics.binary.activations import Bits, weight_gradient
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width
from trainfit.algorithms.numerics.binary.sign_weights import LatentSigns
from trainfit.algorithms.numerics.binary.signed_activations import binarise_signs
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"
WIDE = "mlp-40-200-136-10"
FORMS = [
    {"weights": "binary"},
    {"activations": "binary"},
    {"weights": "binary", "activations": "binary"},
]
PEPITAS = ["pepita", "mem_pepita"]


def held(algorithm):
    return {item.name: item.tensor for item in algorithm.static_tensors()}


def sign(values):
    """With sign(0) = 1."""
    return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)


def stretched(rule, options, model=NET):
    """A net some of whose latent weights are beyond 1, and its parameters in double precision."""
    algorithm = build_algorithm(rule, model, options)
    for name, tensor in held(algorithm).items():
        if name[0] in "wb" and "." not in name:
            tensor.mul_(1.5 if "pepita" in rule else 6.0)
    return algorithm, {name: tensor.double() for name, tensor in held(algorithm).items()}


def linear(h, before, number, options):
    """z of a hidden layer; sums of bits and signs may be 0, and are 0 then without a rounding."""
    w = before[f"w{number}"]
    z = h @ (w.abs().mean() * sign(w) if options.get("weights") == "binary" else w).T
    return z.where(z.abs() > 1e-9, 0.0) + before.get(f"b{number}", 0.0)


def check_step(algorithm, before, gradients, options, lr):
    """All parameters are what one step of plain descent and the clipping make of them."""
    after = held(algorithm)
    assert {name for name in after if name[0] in "wb"} == set(gradients)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        expected = before[name] - lr * gradient
        if options.get("weights") == "binary":
            expected = expected.clamp(-1, 1)
        torch.testing.assert_close(after[name].double(), expected, rtol=1e-4, atol=2e-5)


# ---- direct feedback ------------------------------------------------------------------------


def hidden_unit(z, options):
    """f(z) and f'(z)."""
    tanh = options.get("activation") != "relu"
    if options.get("activations") != "binary":
        h = z.tanh() if tanh else z.relu()
        return h, 1 - h**2 if tanh else (h > 0).double()
    s = z.abs().mean()
    if not tanh:
        return s * (z > 0), ((z > 0) & (z < 1)).double()
    t = s.tanh()
    return t * sign(z), (1 - t**2) * (z.abs() < 1)


def feedback_gradients(before, x, y, options, rule):
    """The formulas of the module docstrings, layer by layer."""
    h, seen = x.double(), []
    for number in (1, 2, 3):
        z = linear(h, before, number, options)
        below, (h, slope) = h, hidden_unit(z, options)
        seen.append((number, below, slope))
    logits = functional.linear(h, before["w4"], before["b4"])
    target = functional.one_hot(y, 4).double()
    sigmoids = options.get("loss") == "binary_cross_entropy"
    difference = (logits.sigmoid() if sigmoids else logits.softmax(1)) - target
    error = difference / (logits.numel() if sigmoids else len(x))
    gradients = {"w4": error.T @ h, "b4": error.sum(0)}
    signal = {"drtp": -target, "dfa": difference}[rule]
    if options.get("signal") == "sign":
        signal = difference.sign()
    if options.get("hidden_gradient") != "sum":
        signal = signal / len(x)
    for number, below, slope in seen:
        dz = signal @ before[f"feedback{number}"] * slope
        cut = before[f"w{number}"].abs() < 1 if options.get("weights") == "binary" else 1.0
        gradients |= {f"w{number}": dz.T @ below * cut, f"b{number}": dz.sum(0)}
    return gradients


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("drtp", {}),
        ("drtp", {"hidden_gradient": "sum", "loss": "binary_cross_entropy"}),
        ("dfa", {}),
        ("dfa", {"signal": "sign"}),
        ("dfa", {"activation": "relu"}),
        ("dfa", {"loss": "binary_cross_entropy"}),
        ("dfa", {"hidden_gradient": "sum", "signal": "sign"}),
    ],
)
def test_a_step_of_direct_feedback_follows_the_formula(rule, more, options):
    lr, options = 0.1, {**options, **more}
    algorithm, before = stretched(rule, {**options, "momentum": 0.0, "lr": lr})
    x, y = batch_for(algorithm, 12)
    assert (before["w3"].abs() >= 1).any() or "weights" not in options
    gradients = feedback_gradients(before, x, y, options, rule)
    algorithm.step(x, y)
    check_step(algorithm, before, gradients, options, lr)


@pytest.mark.parametrize("rule", ["dfa", "drtp"])
@pytest.mark.parametrize(("fan_in", "sizes"), [("classes", [10, 10]), ("units", [200, 136])])
def test_fixed_matrices_are_kaiming_uniform(rule, fan_in, sizes):
    """U(-b, b) with b = sqrt(6 / n); with ``units`` that is torch's own initialisation."""
    found = held(build_algorithm(rule, WIDE, {"feedback_fan_in": fan_in}))
    for number, size in enumerate(sizes, start=1):
        matrix_CO, bound = found[f"feedback{number}"], (6 / size) ** 0.5
        assert 0.99 * bound < matrix_CO.abs().max() <= bound
        assert matrix_CO.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        if fan_in == "units":
            theirs_CO = torch.nn.init.kaiming_uniform_(torch.empty_like(matrix_CO))
            assert matrix_CO.std() == pytest.approx(float(theirs_CO.std()), rel=0.06)


def test_a_weight_beyond_one_is_cut_and_clipped():
    algorithm = build_algorithm("drtp", NET, {"weights": "binary", "lr": 0.1, "momentum": 0.0})
    w = held(algorithm)["w2"]
    w[0, 0], w[1, 1] = 1.0, -3.0
    algorithm.step(*batch_for(algorithm, 12))
    assert (w[0, 0], w[1, 1]) == (1.0, -1.0)
    assert all(tensor.abs().max() <= 1 for name, tensor in held(algorithm).items() if "w" in name)


# ---- PEPITA ---------------------------------------------------------------------------------


def pepita_gradients(before, masks, x, y, options):
    """Both passes whole, each layer's activations with a scale of its own pass."""
    target = functional.one_hot(y, 4).double()

    def run(h):
        outputs = [h]
        for number, mask in zip((1, 2, 3), masks, strict=True):
            z = linear(outputs[-1], before, number, options)
            binary = options.get("activations") == "binary"
            outputs.append((z.abs().mean() * (z > 0) if binary else z.relu()) * mask)
        return outputs, (outputs[-1] @ before["w4"].T).softmax(1) - target

    first, error = run(x.double())
    second, second_error = run(x.double() + error @ before["feedback"])
    own = error if options.get("output_error") == "standard" else second_error
    gradients = {
        f"w{number}": (first[number] - second[number]).T @ second[number - 1] / len(x)
        for number in (1, 2, 3)
    }
    return {**gradients, "w4": own.T @ second[-1] / len(x)}


@pytest.mark.parametrize("more", [{"keep": 1.0}, {"keep": 0.7}, {"output_error": "standard"}])
@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("rule", PEPITAS)
def test_a_step_of_pepita_follows_the_formula(rule, options, more):
    lr, options = 0.3, {"feedback_scale": 1.0, **options, **more}
    algorithm, before = stretched(rule, {**options, "momentum": 0.0, "lr": lr})
    x, y = batch_for(algorithm, 12)
    algorithm.step(x, y)
    masks = [
        algorithm._dropout.apply_(torch.ones(12, width), number).double()
        for number, width in enumerate(algorithm.model.hidden, start=1)
    ]
    gradients = pepita_gradients(before, masks, x, y, options)
    check_step(algorithm, before, gradients, options, lr)


@pytest.mark.parametrize("options", FORMS[1:])
def test_recomputed_bits_are_the_same_bits(options):
    runs = []
    for rule in PEPITAS:
        algorithm = build_algorithm(rule, NET, options)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 12, seed))
        runs.append(held(algorithm))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_prediction_drops_nothing():
    options = {"keep": 0.5, **FORMS[2]}
    algorithm, before = stretched("pepita", options)
    x, _ = batch_for(algorithm, 12)
    h = x.double()
    for number in (1, 2, 3):
        z = linear(h, before, number, options)
        h = z.abs().mean() * (z > 0)
    torch.testing.assert_close(
        algorithm.predict(x).double(), h @ before["w4"].T, rtol=1e-4, atol=1e-5
    )


# ---- bits and bytes -------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "outputs"), list(itertools.product((1, 7, 64, 203), (1, 9))))
def test_products_of_signs_are_exact(inputs, outputs):
    generator = torch.Generator().manual_seed(0)
    z_BI = torch.randn(6, inputs, generator=generator)
    w_OI = torch.randn(outputs, inputs, generator=generator)
    h = binarise_signs(z_BI.clone())
    z_BO = torch.zeros(6, outputs)
    LatentSigns(w_OI[None]).add_product(h, z_BO)
    assert torch.equal(z_BO, sign(z_BI) @ sign(w_OI).T)
    torch.testing.assert_close(h.scale, z_BI.abs().mean().tanh())
    dz = torch.randn(6, outputs, generator=generator)
    expected = dz.T @ (h.scale * sign(z_BI))
    torch.testing.assert_close(weight_gradient(dz, h, 0, inputs), expected)


def test_signs_know_that_they_are_signs():
    bits = torch.zeros(1, 2, packed_width(5), dtype=torch.uint8)
    pack_signs(torch.tensor([[-1.0, 1, 1, 1, 1], [1.0, 1, 1, 1, 1]]), bits[0], 2)
    w = LatentSigns(torch.ones(1, 1, 5))
    for signed, expected in ((False, [[4.0], [5.0]]), (True, [[3.0], [5.0]])):
        z = torch.zeros(2, 1)
        w.add_product(Bits(bits, torch.ones(()), torch.empty(0), signed=signed), z)
        assert z.tolist() == expected


@pytest.mark.parametrize("rule", ["drtp", "dfa", *PEPITAS])
def test_no_float_copy_of_an_activation_outlives_its_layer(rule):
    """Of float32 with a row per sample only z, the error, PEPITA's input and a tile are there."""
    rows, widths = 128, (200, 136)
    predicted = predict(build_algorithm(rule, WIDE, {**FORMS[2], "momentum": 0.0}), rows)
    alive: set[int] = set()
    large = {4 * rows * width for width in widths}
    storages = predicted.trace.storages
    stream = predicted.trace.stream
    for number, size in zip(stream.pointers, stream.sizes, strict=True):
        alive.add(number) if size > 0 else alive.discard(number)
        assert sum(storages[each].size in large for each in alive) <= 1, number
    unpacked = [each.size for each in storages if each.label.startswith("unpacked tile")]
    assert unpacked
    assert max(unpacked) <= max(large) // 4


@pytest.mark.parametrize("rule", ["drtp", "dfa", *PEPITAS])
def test_binary_forms_need_less(rule):
    """Activations of many layers are bits, and gradients come a tile at a time."""
    model = "mlp-784-400x8-10"
    both, plain = (
        predict(build_algorithm(rule, model, options), 256) for options in (FORMS[2], {})
    )
    assert both.peak_bytes < plain.peak_bytes
    assert both.static_bytes == plain.static_bytes  # latent weights are float


@pytest.mark.parametrize("rule", PEPITAS)
def test_bits_do_not_change_the_number_of_products(rule):
    plans = [predict(build_algorithm(rule, NET, options), 12) for options in ({}, *FORMS)]
    assert len({plan.operations.total().macs.total() for plan in plans}) == 1


@pytest.mark.parametrize("option", ["weights", "activations"])
@pytest.mark.parametrize("rule", ["drtp", "dfa", *PEPITAS])
def test_another_precision_is_refused(rule, option):
    with pytest.raises(ConfigurationError, match=f"option '{option}' of {rule}"):
        build_algorithm(rule, NET, {option: "ternary"})
