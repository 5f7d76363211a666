"""ASI: the gradients of projected inputs, and of the inputs where the rank reaches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract import test_memory_contract as contract
from tests.contract.cases import NETS, batch_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.asi.subspace import factorise, orthonormalise_
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"
DEEP = "mlp-64-128x6-10"
LR = 0.5


def held(algorithm):
    return {each.name: each.tensor.clone() for each in algorithm.static_tensors()}


def asi(options, model=NET):
    return build_algorithm("asi", model, {"momentum": 0.0, "lr": LR, **options})


class _Projected(torch.autograd.Function):
    """A linear layer whose weight sees its input times a projection, in the backward pass only."""

    @staticmethod
    def forward(ctx, h, w, b, projection):
        ctx.save_for_backward(h @ projection, w)
        return functional.linear(h, w, b)

    @staticmethod
    def backward(ctx, dz):
        h, w = ctx.saved_tensors
        return dz @ w, dz.T @ h, dz.sum(0), None


def gradients(values, x, y, projections):
    """Autograd's, in double precision; ``projections`` by layer, none for an input as it is."""
    leaves = {n: t.double().requires_grad_() for n, t in values.items() if n[0] in "wb"}
    h, inputs = x.double(), {}
    for n in range(1, 5):
        inputs[n] = h.detach()
        w, b = leaves[f"w{n}"], leaves[f"b{n}"]
        if n in projections:
            z = _Projected.apply(h, w, b, projections[n](inputs[n]))
        else:
            z = functional.linear(h, w, b)
        h = torch.relu(z)
    functional.cross_entropy(z, y).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def iterated(v_KI):
    """The projection on orth(V h^T h), by torch's QR."""

    def projection(h):
        q_IK, _ = torch.linalg.qr(h.T @ (h @ v_KI.double().T))
        return q_IK @ q_IK.T

    return projection


@pytest.mark.parametrize("layers", ["all", "2,3", "last:1"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_step_is_that_of_the_projected_inputs(rank, layers):
    algorithm = asi({"rank": rank, "layers": layers})
    for seed in range(3):  # to warm up
        algorithm.step(*batch_for(algorithm, 10, seed))
    before, (x, y) = held(algorithm), batch_for(algorithm, 10, 3)
    starts = {int(n[8:]): t for n, t in before.items() if n.startswith("subspace")}
    assert sorted(starts) == {"all": [1, 2, 3, 4], "2,3": [2, 3], "last:1": [4]}[layers]
    projections = {n: iterated(v_KI) for n, v_KI in starts.items()}
    expected, whole = (gradients(before, x, y, each) for each in (projections, {}))
    algorithm.step(x, y)
    for name, gradient in expected.items():
        step = ((before[name] - held(algorithm)[name]) / LR).double()
        assert (step - gradient).norm() < 2e-4 * gradient.norm(), name
        projected = name[0] == "w" and int(name[1:]) in starts
        apart = (gradient - whole[name]).norm() / whole[name].norm()
        assert (apart > 2e-3) == projected, name


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize(("rank", "rows"), [(10, 10), (64, 10), (64, 50)])
def test_with_a_rank_of_the_batch_or_the_width_it_is_backpropagation(rank, rows, warm_start):
    algorithm = asi({"rank": rank, "warm_start": warm_start, "lr": 0.1})
    plain = build_algorithm("backprop", NET, {"momentum": 0.0, "lr": 0.1})
    start = held(plain)
    for seed in range(5):
        x, y = batch_for(algorithm, rows, seed)
        x[:, :3] = 0.0  # no batch has all directions
        x[:, 5 + seed] = 0.0
        algorithm.step(x, y)
        plain.step(x, y)
    ours, theirs = held(algorithm), held(plain)
    for name in (f"{kind}{n}" for kind in "wb" for n in range(1, 5)):
        moved = (theirs[name] - start[name]).norm()
        assert moved > 0
        assert (ours[name] - theirs[name]).norm() < 1e-3 * moved, name


def test_the_kept_subspace_is_orthonormal_and_becomes_that_of_the_largest_singular_values():
    algorithm = asi({"rank": 3, "layers": "1"})
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(12, 3, generator=generator), torch.randn(3, 24, generator=generator)
    x = u @ v + 0.01 * torch.randn(12, 24, generator=generator)
    for _ in range(4):
        algorithm.step(x, torch.arange(12) % 4)
    v_KI = held(algorithm)["subspace1"]
    torch.testing.assert_close(v_KI @ v_KI.T, torch.eye(3), rtol=0, atol=1e-6)
    _, _, vh = torch.linalg.svd(x)
    overlap = torch.linalg.matrix_norm(v_KI @ vh[:3].T, 2).item()
    least = torch.linalg.svdvals(v_KI @ vh[:3].T).min().item()
    assert overlap == pytest.approx(1.0, abs=1e-4)
    assert least > 0.999


def test_a_warm_start_stores_more_of_the_input_than_random_numbers():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 40, generator=generator)
    left = {}
    for warm_start in (True, False):
        lost, v_KI = [], torch.randn(4, 40, generator=torch.Generator().manual_seed(1))
        for _ in range(10):
            h = torch.randn(30, 6, generator=generator) @ base
            u, v = factorise(h, v_KI if warm_start else None, 4, generator)
            lost.append(float((h - u.T @ v).norm() / h.norm()))
        left[warm_start] = sum(lost[1:]) / 9
    assert left[True] < 0.9 * left[False]


# ---- orthonormal rows -----------------------------------------------------------------------


def test_rows_become_what_qr_makes_of_them():
    rows = torch.randn(7, 20, generator=torch.Generator().manual_seed(0))
    q_IK, r_KK = torch.linalg.qr(rows.double().T)
    expected = (q_IK * r_KK.diagonal().sign()).T
    made = orthonormalise_(rows.clone(), torch.Generator())
    torch.testing.assert_close(made.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        torch.zeros(5, 5),
        torch.ones(4, 9),
        torch.eye(6)[[0, 0, 1, 1, 2, 2]],
        torch.cat([torch.eye(8)[:3], torch.randn(5, 8) * torch.tensor([1.0] * 3 + [0.0] * 5)]),
        torch.randn(12, 300) * 1e-30,
        torch.full((3, 4), float("nan")),
    ],
    ids=["zero", "equal", "pairs", "of few units", "tiny", "not numbers"],
)
def test_rows_that_depend_on_others_become_directions_of_their_own(rows):
    made = orthonormalise_(rows.clone(), torch.Generator().manual_seed(3))
    torch.testing.assert_close(made @ made.T, torch.eye(len(rows)), rtol=0, atol=2e-5)


def test_nearly_dependent_rows_are_orthonormal_to_rounding():
    generator = torch.Generator().manual_seed(0)
    base, noise = (torch.randn(n, 200, generator=generator) for n in (1, 20))
    made = orthonormalise_(base + 1e-4 * noise, generator)
    torch.testing.assert_close(made @ made.T, torch.eye(20), rtol=0, atol=1e-6)


# ---- bytes ----------------------------------------------------------------------------------


def predicted(rows=32, **options):
    return predict(build_algorithm("asi", DEEP, options), rows)


def test_what_is_stored_can_be_counted_by_hand():
    """Seven layers, 32 rows, 128 wide: an activation is 16 KiB, a factor of rank 2 256 B."""
    activation, u, mask = 4 * 32 * 128, 4 * 32 * 2, 32 * 128 // 8
    plan = predicted(rank=2)
    # the last hidden activation is made while the one below is there: six u, five masks
    assert plan.phases["forward"].peak_bytes == 2 * activation + 6 * u + 5 * mask
    assert plan.phases["forward"].categories == {Category.ACTIVATIONS: plan.peak_bytes} or (
        plan.peak_bytes > plan.phases["forward"].peak_bytes
    )
    subspaces = 4 * 2 * (64 + 6 * 128)
    whole = predict(build_algorithm("backprop", DEEP), 32)
    assert plan.static_bytes - whole.static_bytes == subspaces
    cold = predicted(rank=2, warm_start=False)
    assert cold.static_bytes == whole.static_bytes
    stored = 4 * 2 * (64 + 5 * 128)
    assert cold.phases["forward"].peak_bytes == plan.phases["forward"].peak_bytes + stored


def test_more_rank_needs_more_and_all_of_it_less_than_storing_inputs():
    peaks = [predicted(rank=rank).peak_bytes for rank in (1, 2, 4, 8)]
    assert peaks == sorted(set(peaks))
    fused = predict(build_algorithm("backprop", DEEP, {"update": "fused"}), 32)
    assert peaks[-1] < fused.peak_bytes


def test_layers_that_are_not_chosen_store_their_inputs():
    for layers, stored, masks in (("last:2", 2, 2), ("1", 1, 0)):
        labels = [each.label for each in predicted(layers=layers).trace.storages]
        assert sum(label.startswith("u ") for label in labels) == stored
        assert sum("uint8 32x16" in label for label in labels) == masks


@pytest.mark.parametrize(("model", "rows"), NETS)
@pytest.mark.parametrize(
    "options",
    [{"rank": 1, "momentum": 0.0}, {"rank": 2, "warm_start": False, "layers": "1"}, {"rank": 1000}],
)
def test_the_prediction_is_exact_for_ranks_that_do_not_learn_or_are_cut(options, model, rows):
    contract.test_the_trace_is_what_is_measured("asi", options, model, rows)


def test_a_batch_of_fewer_rows_than_the_rank_uses_as_many():
    algorithm = asi({"rank": 8})
    algorithm.step(*batch_for(algorithm, 20))
    before = held(algorithm)
    algorithm.step(*batch_for(algorithm, 3))
    after = held(algorithm)
    assert torch.equal(before["subspace1"][3:], after["subspace1"][3:])
    assert not torch.equal(before["subspace1"][:3], after["subspace1"][:3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "none"}, "asi: layers=none factorises nothing"),
        ({"layers": "5"}, r"asi: layers='5', but .* has layers 1 to 4"),
        ({"layers": "lowest"}, r"asi: layers='lowest' is not all, none, last:N or"),
        ({"rank": 0}, "'rank' of asi"),
        ({"nesterov": True, "momentum": 0.0}, "options of asi: nesterov=true"),
    ],
)
def test_a_choice_that_cannot_be_is_one_error(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm("asi", NET, options)
