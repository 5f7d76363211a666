from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders.runs import workload
from trainfit.algorithms import Algorithm
from trainfit.algorithms.data import Dataset
from trainfit.bench.probes import noise as probes_noise
from trainfit.bench.probes.noise import AMPLITUDES, BITS, SEEDS, probe_noise
from trainfit.bench.training.evaluation import evaluate
from trainfit.bench.training.train import build


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Classes that lie apart, with more features than say so."""
    draws = torch.Generator().manual_seed(0)
    y = torch.randint(4, (360,), generator=draws)
    x = torch.rand(360, 12, generator=draws) * 0.4
    x[:, 4:8] += torch.nn.functional.one_hot(y, 4)
    return Dataset("few", x[:60], y[:60], x[60:], y[60:], 4, (1, 1, 12))


def trained(data: Dataset, algorithm: str, **options: Any) -> Algorithm[Any]:
    rule = build(workload(algorithm=algorithm, model="mlp-12-16-8-4", options=options))
    for _ in range(12):
        for start in range(0, 60, 20):
            rule.step(data.train_x[start : start + 20], data.train_y[start : start + 20])
    return rule


def test_every_disturbance_has_its_accuracy_and_leaves_the_weights_as_they_were(
    data: Dataset,
) -> None:
    rule = trained(data, "backprop", lr=0.2)
    before = {each.name: each.tensor.detach().clone() for each in rule.static_tensors()}

    noise = probe_noise(rule, data)

    assert noise.reason is None
    assert noise.tensors == ["w1", "w2", "w3"]
    assert noise.samples == 300
    assert noise.undisturbed_accuracy == evaluate(rule, data).accuracy == 1.0
    assert [point.bits for point in noise.quantised] == list(BITS)
    assert [(p.amplitude, p.seed) for p in noise.noisy] == [
        (a, s) for a in AMPLITUDES for s in SEEDS
    ]
    assert noise.quantised[0].test_accuracy == 1.0
    most = [point.test_accuracy for point in noise.noisy if point.amplitude == AMPLITUDES[-1]]
    assert max(most) < 1.0  # noise of that size does tell
    assert len(set(most)) > 1  # and is another one with another seed
    for each in rule.static_tensors():
        assert torch.equal(each.tensor, before[each.name]), each.name


def test_rounding_has_one_scale_and_as_many_values_as_the_bits_allow() -> None:
    w = torch.tensor([[-1.0, 0.6], [0.4, 0.0]])

    two, eight = probes_noise._rounding(2)(w), probes_noise._rounding(8)(w)

    assert two.tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    torch.testing.assert_close(eight, torch.tensor([[-127, 76], [51, 0]]) / 127)


def test_integers_stay_integers() -> None:
    q = torch.tensor([[-127, 100], [3, 0]], dtype=torch.int8)

    assert torch.equal(probes_noise._rounding(8)(q), q)
    assert probes_noise._rounding(3)(q).tolist() == [[-127, 85], [0, 0]]
    noisy = probes_noise._noise(0.4, 0)(q)
    assert noisy.dtype is torch.int8
    assert noisy.abs().max() <= 127


def test_noise_is_even_and_within_its_share_of_the_largest_weight() -> None:
    w = torch.zeros(100, 100)
    w[0, 0] = 2.0

    u = (probes_noise._noise(0.1, 3)(w) - w) / 0.2

    assert u.abs().max() <= 1.0
    assert float(u.square().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert abs(float(u.mean())) < 0.02


@pytest.mark.parametrize(
    ("algorithm", "tensors"),
    [
        ("qat_int8", ["q1", "q2", "q3"]),  # not the latent float weights
        ("backprop_int8", ["q1", "q2", "q3"]),
        ("ff_int8", ["w1", "w2"]),
        ("local_head", ["w1", "w2", "v2"]),  # the head of the first layer does not predict
    ],
)
def test_what_the_prediction_reads_is_disturbed(
    algorithm: str, tensors: list[str], data: Dataset
) -> None:
    noise = probe_noise(trained(data, algorithm), data)

    assert noise.tensors == tensors
    assert noise.undisturbed_accuracy is not None


@pytest.mark.parametrize(
    ("algorithm", "options", "reason"),
    [
        ("tinyfoa", {}, "packed1 is uint8, packed bits"),
        ("backprop", {"weights": "binary"}, "the prediction reads no more than signs of w1"),
    ],
)
def test_one_bit_weights_cannot_be_rounded_further(
    algorithm: str, options: dict[str, Any], reason: str, data: Dataset
) -> None:
    noise = probe_noise(trained(data, algorithm, **options), data)

    assert noise.reason is not None
    assert reason in noise.reason
    assert noise.undisturbed_accuracy is None
    assert noise.quantised == noise.noisy == noise.tensors == []


def test_no_more_samples_are_predicted_than_the_cap_and_they_are_spread(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes_noise, "TEST_SAMPLES", 30)
    monkeypatch.setattr(probes_noise, "AMPLITUDES", ())

    noise = probe_noise(trained(data, "backprop"), data)

    assert noise.samples == 30
    assert noise.noisy == []
    part = probes_noise._spread(data)
    assert torch.equal(part.test_x, data.test_x[::10])
    assert torch.equal(part.test_y, data.test_y[::10])
