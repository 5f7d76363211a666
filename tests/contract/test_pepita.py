"""PEPITA's updates are its formula's, and recomputing trades arithmetic for activations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.data import batches, load_dataset
from trainfit.algorithms.numerics.dropout import Dropout
from trainfit.bench.trace.prediction import predict
from trainfit.bench.trace.recorder import Recorder

NET = "mlp-24-16-32-8-4"
DEEP = "mlp-20-40x8-3"
RULES = ["pepita", "mem_pepita"]


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def masks_of(algorithm, rows):
    """The factors by which the step just made multiplied the outputs of each hidden layer."""
    return [
        algorithm._dropout.apply_(torch.ones(rows, width), number)
        for number, width in enumerate(algorithm.model.hidden, start=1)
    ]


def naive_gradients(before, masks, x, y, classes, *, modulated):
    """Both passes whole, then every product: nothing in place, nothing updated on the way."""
    weights = [before[name] for name in sorted(before) if name in {f"w{n}" for n in range(1, 10)}]
    target = functional.one_hot(y, classes).float()

    def run(h):
        outputs = [h]
        for w, mask in zip(weights[:-1], masks, strict=True):
            outputs.append(torch.relu(outputs[-1] @ w.T) * mask)
        return outputs, torch.softmax(outputs[-1] @ weights[-1].T, 1) - target

    standard, error = run(x)
    second, second_error = run(x + error @ before["feedback"])
    gradients = [
        (standard[layer] - second[layer]).T @ second[layer - 1] / len(x)
        for layer in range(1, len(weights))
    ]
    return [*gradients, (second_error if modulated else error).T @ second[-1] / len(x)]


@pytest.mark.parametrize("keep", [1.0, 0.7])
@pytest.mark.parametrize("output_error", ["modulated", "standard"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_follows_the_formula(rule, output_error, keep):
    lr = 0.5
    options = {"momentum": 0.0, "lr": lr, "keep": keep, "output_error": output_error}
    algorithm = build_algorithm(rule, NET, options)
    x, y = batch_for(algorithm, 12)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    algorithm.step(x, y)
    masks = masks_of(algorithm, 12)
    assert all((mask == 0).any() == (keep < 1) for mask in masks)
    after = parameters(algorithm)
    modulated = output_error == "modulated"
    expected = naive_gradients(before, masks, x, y, 4, modulated=modulated)
    for number, gradient in enumerate(expected, start=1):
        assert gradient.abs().max() > 0
        torch.testing.assert_close(
            after[f"w{number}"], before[f"w{number}"] - lr * gradient, rtol=1e-5, atol=1e-7
        )
    assert torch.equal(after["feedback"], before["feedback"])


@pytest.mark.parametrize("rule", RULES)
def test_the_classifier_follows_the_gradient_of_the_modulated_passs_loss(rule):
    """Where there is a loss, autograd agrees: cross-entropy of the modulated output."""
    algorithm = build_algorithm(rule, NET, {"momentum": 0.0, "lr": 1.0, "keep": 1.0})
    x, y = batch_for(algorithm, 12)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    algorithm.step(x, y)
    error = torch.softmax(run_standard(before, x), 1) - functional.one_hot(y, 4)
    w = before["w4"].requires_grad_()
    h = x + error @ before["feedback"]
    for number in (1, 2, 3):
        h = torch.relu(h @ before[f"w{number}"].T)
    functional.cross_entropy(h @ w.T, y).backward()
    torch.testing.assert_close(parameters(algorithm)["w4"], (w - w.grad).detach())


def run_standard(weights, x):
    for number in (1, 2, 3):
        x = torch.relu(x @ weights[f"w{number}"].T)
    return x @ weights["w4"].T


@pytest.mark.parametrize("options", [{}, {"keep": 1.0}, {"output_error": "standard"}])
@pytest.mark.parametrize("model", [NET, DEEP])
def test_recomputing_takes_the_same_steps(model, options):
    """The standard pass that is run again sees every layer's weights as they were.

    To rounding, which grows with a tensor's largest weights and not with each of them.
    """
    runs = []
    for rule in RULES:
        algorithm = build_algorithm(rule, model, options)
        history = []
        for seed in range(4):
            algorithm.step(*batch_for(algorithm, 12, seed))
            history.append({n: t.clone() for n, t in parameters(algorithm).items()})
        runs.append(history)
    # Up to the second layer nothing has been put back yet: the first step has the same bits.
    for name in ("w1", "w2"):
        assert torch.equal(runs[0][0][name], runs[1][0][name])
    for kept, recomputed in zip(*runs, strict=True):
        for name, tensor in kept.items():
            assert (tensor - recomputed[name]).norm() <= 1e-4 * tensor.norm(), name


@pytest.mark.parametrize("output_error", ["modulated", "standard"])
@pytest.mark.parametrize("rule", RULES)
def test_multiply_accumulates_are_as_tabulated(rule, output_error):
    """Pau & Aymone 2023: 2 F + WU + P kept, 3 F + WU + P recomputed.

    Here the classifier runs once less where its output is known or not needed: not in the repeated
    pass, and with ``output_error=standard`` not in the modulated one.
    """
    rows, algorithm = 12, build_algorithm(rule, NET, {"output_error": output_error})
    forward = [rows * i * o for i, o in algorithm.model.layers]
    products = sum(forward)  # of the weight gradients: as many as forward
    projection = rows * 4 * 24
    expected = 2 * sum(forward) + products + projection
    expected -= forward[-1] if output_error == "standard" else 0
    expected += sum(forward[:-1]) if rule == "mem_pepita" else 0
    total = predict(algorithm, rows).operations.total()
    assert total.macs.total() == expected
    by_phase = predict(algorithm, rows).operations.phases
    assert by_phase["update"].macs.total() == products
    assert by_phase["forward.standard"].macs.total() == sum(forward)
    assert ("forward.repeated" in by_phase) == (rule == "mem_pepita")


def activation_peak(plan, rows):
    """Units per row at the largest sum of activations over all phases, the error left out."""
    most = max(phase.categories.get(Category.ACTIVATIONS, 0) for phase in plan.phases.values())
    return most // 4 // rows


@pytest.mark.parametrize("widths", [(40,) * 8, (64, 16, 48, 8, 96, 24)])
def test_recomputing_keeps_two_layers_instead_of_all(widths):
    """Two neighbours and the wider of them again, as Pau & Aymone count, at any depth."""
    model = f"mlp-20-{'-'.join(map(str, widths))}-3"
    options = {"keep": 1.0, "momentum": 0.0}
    kept, recomputed = (
        activation_peak(predict(build_algorithm(rule, model, options), 16), 16) for rule in RULES
    )
    neighbours = list(zip((0, *widths[:-1]), widths, strict=True))
    assert recomputed == max(a + b + max(a, b) for a, b in neighbours)
    assert kept >= sum(widths) > recomputed


def test_recomputing_needs_no_more_for_more_layers():
    figures = [
        predict(build_algorithm(rule, f"mlp-20-40x{depth}-3"), 16).peak_bytes
        for rule in RULES
        for depth in (3, 12)
    ]
    assert figures[1] > 2 * figures[0]
    assert figures[3] == figures[2] < figures[0]


def test_updates_turn_towards_the_gradient():
    """F's random signs become of use: in training, w1's updates turn downhill (alignment)."""
    data = load_dataset("digits", None)
    x, y = data.train_x, data.train_y
    algorithm = build_algorithm("pepita", "mlp-64-64-10")
    generator = torch.Generator().manual_seed(0)
    cosines = []
    for epochs in (0, 20):
        for _ in range(epochs):
            for batch in batches(x, y, 64, generator):
                algorithm.step(*batch)
        held = parameters(algorithm)
        update = naive_gradients(held, [torch.ones(1)], x, y, 10, modulated=True)[0]
        w = held["w1"].clone().requires_grad_()
        functional.cross_entropy(torch.relu(x @ w.T) @ held["w2"].T, y).backward()
        cosines.append(functional.cosine_similarity(update.flatten(), w.grad.flatten(), 0))
    assert cosines[0] < 0.15
    assert cosines[1] > 0.25


@pytest.mark.parametrize("rule", RULES)
def test_parameters_are_drawn_as_in_the_authors_code(rule):
    algorithm = build_algorithm(rule, "mlp-96-400-10", {"feedback_scale": 0.1})
    held = parameters(algorithm)
    assert {name for name in held if "." not in name} == {"w1", "w2", "feedback"}
    for name, inputs, scale in (("w1", 96, 1.0), ("w2", 400, 1.0), ("feedback", 96, 0.1)):
        bound = scale * math.sqrt(6 / inputs)
        assert 0.99 * bound < held[name].abs().max() <= bound * (1 + 1e-6)
        assert held[name].mean().abs() < 0.1 * bound
    assert held["feedback"].shape == (10, 96)


@pytest.mark.parametrize("rule", RULES)
def test_prediction_drops_nothing(rule):
    algorithm = build_algorithm(rule, NET, {"keep": 0.5})
    x, y = batch_for(algorithm, 12)
    algorithm.step(x, y)
    torch.testing.assert_close(algorithm.predict(x), run_standard(parameters(algorithm), x))


@pytest.mark.parametrize("keep", [0, 1.5])
def test_a_probability_that_is_none_is_refused(keep):
    with pytest.raises(ConfigurationError, match="option 'keep' of pepita"):
        build_algorithm("pepita", NET, {"keep": keep})


def test_a_net_without_hidden_layers_is_refused():
    with pytest.raises(ConfigurationError, match="mem_pepita trains hidden layers"):
        build_algorithm("mem_pepita", "mlp-24-4")


# ---- the dropout both rules and local_head share ------------------------------------------------


def test_dropout_makes_the_same_mask_again_and_another_for_every_tensor_and_step():
    dropout = Dropout(0.9, torch.Generator().manual_seed(0))
    masks = []
    for _ in range(2):
        dropout.begin_step()
        for number in (1, 2):
            mask = dropout.apply_(torch.ones(50, 400), number)
            assert torch.equal(mask, dropout.apply_(torch.ones(50, 400), number))
            masks.append(mask == 0)
    for one in range(4):
        share = masks[one].float().mean()
        assert abs(share - 0.1) < 0.01  # 20,000 draws: a standard deviation is 0.002
        for other in range(one):
            both = (masks[one] & masks[other]).float().mean()
            assert abs(both - 0.01) < 0.004  # as often as independent ones: 0.0007


def test_dropout_has_no_rows_or_columns_of_its_own():
    dropout = Dropout(0.5, torch.Generator().manual_seed(1))
    dropout.begin_step()
    mask = (dropout.apply_(torch.ones(256, 256), 1) > 0).float()
    for shares in (mask.mean(0), mask.mean(1)):
        assert (shares - 0.5).abs().max() < 0.17  # five standard deviations
    neighbours = (mask[:, 1:] * mask[:, :-1]).mean()
    assert abs(neighbours - 0.25) < 0.01


def test_dropout_keeps_the_mean_and_what_stays_is_scaled():
    dropout = Dropout(0.8, torch.Generator().manual_seed(0))
    dropout.begin_step()
    values = torch.rand(200, 200)
    dropped = dropout.apply_(values.clone(), 3)
    stays = dropped != 0
    torch.testing.assert_close(dropped[stays], values[stays] / 0.8)
    assert abs(dropped.mean() - values.mean()) < 0.02


def test_no_dropout_draws_nothing_and_counts_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    dropout = Dropout(1.0, generator)
    dropout.begin_step()
    values = torch.rand(4, 5)
    assert torch.equal(dropout.apply_(values.clone(), 1), values)
    assert torch.equal(generator.get_state(), before)
    recorder = Recorder()
    with recorder:
        values = torch.empty(4, 5, device="meta")
        recorder.begin()
        dropout.apply_(values, 1)
        names = [each.name for each in recorder.finish().operators]
    assert names == ["aten.empty.memory_format"]  # the values themselves
