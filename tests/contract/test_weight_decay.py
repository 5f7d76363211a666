"""Weight decay and Nesterov's momentum in whole rules: 20 steps as with torch.optim's updates."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.ff_int8.weights import Int8Weights, LatentWeights
from trainfit.algorithms.forward_forward.labels import random_wrong_labels
from trainfit.algorithms.numerics.int8.layer import QuantConfig
from trainfit.algorithms.numerics.optimisers import Adam, Sgd
from trainfit.algorithms.options import Int8Kernel, Rounding

NET = "mlp-24-16-32-8-4"
ROWS = 12
STEPS = 20
DECAY = {"weight_decay": 0.2}
BOTH = {"weight_decay": 0.2, "nesterov": True}


def swap_in_torch(monkeypatch, *, weight_decay=0.0, nesterov=False, head_weight_decay=0.0):
    """Every update of an optimiser of ours becomes one of torch.optim's, from the gradient."""

    def update(self, name, parameter, gradient, state):
        decay = head_weight_decay if name.startswith("classifier") else weight_decay
        its = parameter.detach().clone().requires_grad_()
        its.grad = gradient.detach().clone().view(its.shape)
        if isinstance(self, Adam):
            theirs = torch.optim.Adam([its], lr=self.lr, weight_decay=decay)
            names = {"mean": "exp_avg", "square": "exp_avg_sq"}
            theirs.state[its] = {"step": torch.tensor(self.steps - 1.0)}
        else:
            kind = {"momentum": self.momentum, "nesterov": nesterov}
            theirs = torch.optim.SGD([its], lr=self.lr, weight_decay=decay, **kind)
            names = {"momentum": "momentum_buffer"}
        for mine, its_name in names.items():
            if mine in state:
                theirs.state[its][its_name] = state[mine].clone()
        theirs.step()
        parameter.copy_(its.detach())
        for mine, its_name in names.items():
            if mine in state:
                state[mine].copy_(theirs.state[its][its_name])

    def apply(self, name, parameter, gradient):
        update(self, name, parameter, gradient, self._states.get(name, {}))

    def apply_rows(self, name, parameter, gradient, rows):
        state = {kind: tensor[rows] for kind, tensor in self._states.get(name, {}).items()}
        update(self, name, parameter[rows], gradient, state)

    def apply_product(self, name, parameter, left, right):
        apply(self, name, parameter, left @ right)

    for ours in (Sgd, Adam):
        monkeypatch.setattr(ours, "apply", apply)
        monkeypatch.setattr(ours, "apply_rows", apply_rows)
        monkeypatch.setattr(ours, "apply_product", apply_product)


def trained(name, options):
    """Everything float that is kept after some steps, as one vector."""
    algorithm = build_algorithm(name, NET, options)
    for seed in range(STEPS):
        algorithm.step(*batch_for(algorithm, ROWS, seed))
    kept = [h.tensor.detach() for h in algorithm.static_tensors()]
    return torch.cat([t.double().view(-1) for t in kept if t.is_floating_point()])


EXACT = 1e-3
ROUNDED = 0.2  # whoever rounds to INT8 or to signs amplifies the last bit now and then

RULES = [
    ("backprop", {"lr": 0.1}, BOTH, EXACT),
    ("backprop", {"lr": 0.1, "momentum": 0.0, "update": "fused"}, DECAY, EXACT),
    ("backprop", {"lr": 0.01, "optimizer": "adam"}, DECAY, EXACT),
    ("backprop", {"lr": 0.1, "update": "product"}, BOTH, EXACT),
    ("backprop", {"lr": 0.1, "momentum": 0.0, "update": "product"}, DECAY, EXACT),
    ("backprop", {"lr": 0.01, "optimizer": "adam", "update": "product"}, DECAY, EXACT),
    ("backprop", {"lr": 0.1, "slices": 2}, BOTH, EXACT),
    ("backprop", {"lr": 0.1, "weights": "binary", "activations": "binary"}, BOTH, ROUNDED),
    ("backprop_dai8", {"lr": 0.1}, BOTH, ROUNDED),
    ("backprop_int8", {"lr": 0.1, "master": "fp32", "momentum": 0.9}, BOTH, ROUNDED),
    ("backprop_ui8", {"lr": 0.1, "momentum": 0.0, "rounding": "nearest"}, DECAY, ROUNDED),
    ("dfa", {"lr": 0.1}, BOTH, EXACT),
    ("dfa", {"lr": 0.1, "momentum": 0.0}, DECAY, EXACT),
    ("drtp", {"lr": 0.1}, BOTH, EXACT),
    ("drtp", {"lr": 0.01, "optimizer": "adam"}, DECAY, EXACT),
    ("drtp", {"lr": 0.1, "weights": "binary"}, BOTH, EXACT),
    ("forward_forward", {"lr": 0.003}, BOTH, EXACT),
    ("forward_forward", {"lr": 0.01, "momentum": 0.0}, DECAY, EXACT),
    ("forward_forward", {"lr": 0.003, "peer": 0.1, "passes": "joint"}, BOTH, EXACT),
    ("forward_forward", {"lr": 0.003, "implementation": "autograd"}, BOTH, EXACT),
    ("forward_forward", {"score": "head"}, {"head_weight_decay": 0.2, "nesterov": True}, EXACT),
    ("forward_forward", {"score": "head"}, {"head_weight_decay": 0.2, "weight_decay": 1.0}, EXACT),
    ("forward_forward", {"weights": "binary", "optimizer": "adam"}, DECAY, EXACT),
    ("local_head", {"lr": 0.1, "parts": 3}, BOTH, EXACT),
    ("local_head", {"lr": 0.1, "momentum": 0.0, "head": "fixed"}, DECAY, EXACT),
    ("mem_pepita", {"lr": 0.1}, BOTH, EXACT),
    ("pepita", {"lr": 0.1}, BOTH, EXACT),
    ("pepita", {"lr": 0.1, "momentum": 0.0}, DECAY, EXACT),
    ("ptq_int8", {"lr": 0.1}, BOTH, EXACT),
    ("qat_int8", {"lr": 0.1}, BOTH, ROUNDED),
    ("sparse_update", {"lr": 0.1, "ratio": 0.5}, BOTH, EXACT),
    ("asi", {"lr": 0.1, "rank": 12, "warm_start": False}, BOTH, EXACT),
    ("lora", {"lr": 0.1, "biases": "all"}, BOTH, EXACT),
    ("tinyfoa", {}, DECAY, EXACT),
    ("tinyfoa", {"kernel": "tiles", "update": "fused"}, DECAY, EXACT),
]


@pytest.mark.parametrize(
    ("name", "options", "added", "most"),
    RULES,
    ids=[f"{n}-{'-'.join(map(str, o.values()))}-{'-'.join(a)}" for n, o, a, _ in RULES],
)
def test_a_rule_ends_where_torchs_optimiser_leads_it(name, options, added, most, monkeypatch):
    """Apart by no more than a share of what the options change."""
    ours, without = trained(name, options | added), trained(name, options)
    swap_in_torch(monkeypatch, **added)
    its = trained(name, options)
    assert torch.isfinite(its).all()
    assert (ours - its).norm() < most * (without - its).norm()
    assert (without - its).norm() > 0.01 * its.norm()


def test_forward_forward_decays_as_loewes_code_does():
    """Two groups of ``torch.optim.SGD``: layers and head, each with its rate and its decay.

    Their loss is a mean over the rows of both passes, half of ours: twice the decay, half the rate.
    """
    options = {"passes": "joint", "score": "head", "lr": 0.004, "head_lr": 0.05}
    options |= {"weight_decay": 0.6, "head_weight_decay": 0.3}
    ours = build_algorithm("forward_forward", NET, options)
    held = {each.name: each.tensor for each in ours.static_tensors()}
    its = {n: t.clone().requires_grad_() for n, t in held.items() if "momentum" not in n}
    head = [t for name, t in its.items() if name.startswith("classifier")]
    layers = [t for name, t in its.items() if not name.startswith("classifier")]
    groups = [
        {"params": layers, "lr": 0.008, "weight_decay": 0.3},
        {"params": head, "lr": 0.05, "weight_decay": 0.3},
    ]
    optimiser = torch.optim.SGD(groups, momentum=0.9)
    start = {name: tensor.detach().clone() for name, tensor in its.items()}
    for seed in range(STEPS):
        x, y = batch_for(ours, ROWS, seed)
        wrong = random_wrong_labels(y, 4, torch.Generator().set_state(ours.generator.get_state()))
        optimiser.zero_grad()
        loss, _ = loewes_layers(its, torch.cat([labelled(x, y), labelled(x, wrong)]))
        neutral = x.clone()
        neutral[:, :4] = 0.25
        _, activities = loewes_layers(its, neutral)
        scores = sum(h @ its[f"classifier{n}"].T for n, h in activities.items() if n > 1)
        (loss + functional.cross_entropy(scores, y)).backward()
        optimiser.step()
        ours.step(x, y)
    for name, tensor in its.items():
        apart = (held[name] - tensor.detach()).norm()
        assert apart < EXACT * (tensor.detach() - start[name]).norm(), name


def labelled(x, y):
    x = x.clone()
    x[:, :4] = functional.one_hot(y, 4)
    return x


def loewes_layers(its, h):
    """The sum of all layers' binary cross-entropies, and their normalised outputs by number."""
    total, outputs = torch.zeros(()), {}
    h = h / h.square().mean(1, keepdim=True).sqrt()
    truth = torch.cat([torch.ones(len(h) // 2), torch.zeros(len(h) // 2)])
    for number in range(1, 4):
        z = functional.linear(h, its[f"w{number}"], its[f"b{number}"]).relu()
        logits = z.square().sum(1) - z.shape[1]
        total = total + functional.binary_cross_entropy_with_logits(logits, truth)
        h = (z / (z.square().mean(1, keepdim=True).sqrt() + 1e-8)).detach()
        outputs[number] = h
    return total, outputs


# ---- INT8 weights ---------------------------------------------------------------------------


def integers(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-127, 128, (rows, columns), dtype=torch.int8, generator=generator)


@pytest.mark.parametrize("kernel", list(Int8Kernel))
@pytest.mark.parametrize(
    ("momentum", "more"), [(0.0, DECAY), (0.9, DECAY), (0.9, BOTH), (0.9, {"nesterov": True})]
)
def test_latent_weights_of_int8_products_follow_torch(momentum, more, kernel):
    start = torch.randn(30, 40, generator=torch.Generator().manual_seed(0))
    way = QuantConfig(Rounding.NEAREST, kernel)
    weights, its = LatentWeights(start.clone(), momentum, **more), start.clone().requires_grad_()
    optimiser = torch.optim.SGD([its], lr=0.1, momentum=momentum, **more)
    for seed in range(STEPS):
        d, h = integers(16, 30, seed), integers(16, 40, seed + 99)
        weights.descend(d, h, 1e-6, 0.1, way, seed)
        its.grad = 1e-6 * (d.float().T @ h.float())
        optimiser.step()
    held = {suffix: tensor for suffix, tensor, _ in weights.held()}
    torch.testing.assert_close(held[""], its.detach(), rtol=1e-5, atol=1e-5)
    assert (start - its.detach()).norm() > 0.05 * start.norm()


def test_int8_weights_decay_in_their_scales_without_a_rounding():
    """Of a factor 1 - 1e-6 single precision rounds 1.4 % of what it takes off, at every step."""
    start = torch.randn(30, 40, generator=torch.Generator().manual_seed(0))
    way = QuantConfig(Rounding.NEAREST, Int8Kernel.COMPILED)
    still = torch.zeros(2, 30, dtype=torch.int8), torch.zeros(2, 40, dtype=torch.int8)
    for part, steps in ((0.05, 2), (1e-4, 1000), (1e-6, 20000)):
        weights = Int8Weights(start, weight_decay=part / 0.1)
        q, scale = (t.clone() for t in weights.integers(way))
        for seed in range(steps):
            weights.descend(*still, 1.0, 0.1, way, seed)
        now = weights.integers(way)
        assert torch.equal(now.q, q)
        left = (now.scale.double() / scale.double()).log() / math.log1p(-part)
        right = torch.full((30,), float(steps), dtype=torch.float64)
        torch.testing.assert_close(left, right, rtol=0.01, atol=0)


@pytest.mark.parametrize("master", ["int8", "fp32"])
def test_every_layer_and_bias_of_ff_int8_decays_at_its_own_rate(master):
    """What decay adds to one step: ``- lr / inputs weight_decay p``, as the first step shows."""
    runs = {}
    for decay in (0.0, 4.0):
        options = {"master": master, "lr": 0.5, "rounding": "nearest", "weight_decay": decay}
        algorithm = build_algorithm("ff_int8", NET, options)
        for layer in algorithm._layers:
            layer._b_O.fill_(0.25)
        before = values(algorithm)
        algorithm.step(*batch_for(algorithm, ROWS))
        runs[decay] = values(algorithm)
    for number, (inputs, outputs) in enumerate(algorithm.model.layers[:-1], start=1):
        for name in (f"w{number}", f"b{number}"):
            taken = runs[0.0][name] - runs[4.0][name]
            right = 0.5 / inputs * 4.0 * before[name]
            if master == "int8" and name[0] == "w":  # both were rounded by chance to such steps
                step = before[name].abs().amax(1, keepdim=True) / 64
                assert ((taken - right).abs() <= step).all()
                assert abs(float((taken * right).sum() / right.square().sum()) - 1.0) < 0.1
            else:
                torch.testing.assert_close(taken, right, rtol=1e-3, atol=1e-6)
        assert outputs == len(before[f"b{number}"])


def values(algorithm):
    """Weights and biases by name; those of INT8 layers as what their integers stand for."""
    held = {each.name: each.tensor.detach().clone() for each in algorithm.static_tensors()}
    found = {name: t for name, t in held.items() if t.dtype is torch.float32 and name[-1].isdigit()}
    for name, t in held.items():
        if t.dtype is torch.int8:
            scale = held[f"{name}.scale"][:, None] if name[0] == "w" else held[f"s{name[1:]}"]
            found[f"w{name[1:]}"] = t.float() * scale
    return found


def test_integers_of_backprop_int8_decay_although_each_change_is_less_than_half_a_step():
    runs = {}
    for decay in (0.0, 0.01):
        algorithm = build_algorithm("backprop_int8", NET, {"lr": 0.01, "weight_decay": decay})
        start = values(algorithm)
        for _ in range(STEPS):
            algorithm.step(torch.zeros(ROWS, 24), torch.arange(ROWS) % 4)
        runs[decay] = values(algorithm)
    # no input, so no gradient reaches the first weights: they only decay
    assert torch.equal(runs[0.0]["w1"], start["w1"])
    kept = runs[0.01]["w1"] / start["w1"]
    torch.testing.assert_close(kept.nanmean(), torch.tensor((1 - 1e-4) ** STEPS), atol=1e-6, rtol=0)
    assert ((runs[0.01]["w1"] - start["w1"]).abs() < start["w1"].abs().max() / 127 / 2).all()


# ---- zeroth order ---------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 3])
def test_zeroth_order_decays_all_weights_once_a_step(samples):
    """``w <- (1 - lr weight_decay) w - lr g z``: the step without decay, and what decay takes."""
    ends = {}
    for decay in (0.0, 5.0):
        options = {"lr": 0.01, "eps": 0.01, "samples": samples, "weight_decay": decay}
        algorithm = build_algorithm("zeroth_order", NET, options)
        start = values(algorithm)
        algorithm.step(*batch_for(algorithm, ROWS))
        ends[decay] = values(algorithm)
    for name, before in start.items():
        torch.testing.assert_close(
            ends[5.0][name], ends[0.0][name] - 0.05 * before, rtol=0, atol=2e-6
        )


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("backprop", {"momentum": 0.0}),
        ("backprop", {"optimizer": "adam"}),
        ("ptq_int8", {"optimizer": "adam"}),
        ("drtp", {"optimizer": "adam"}),
        ("backprop_int8", {}),
        ("ff_int8", {}),
        ("ff_int8", {"master": "fp32"}),
        ("forward_forward", {"momentum": 0.0}),
    ],
)
def test_nesterov_without_the_momentum_of_sgd_is_refused(name, options):
    with pytest.raises(ConfigurationError) as caught:
        build_algorithm(name, NET, options | {"nesterov": True})
    message = str(caught.value)
    assert f"options of {name}: nesterov=true" in message
    assert "momentum" in message.split("needs")[1]
    assert "\n" not in message


@pytest.mark.parametrize("name", ["tinyfoa", "zeroth_order"])
def test_rules_without_momentum_have_no_nesterov(name):
    with pytest.raises(ConfigurationError, match=f"nesterov.*{name}|{name}.*nesterov"):
        build_algorithm(name, NET, {"nesterov": True})


@pytest.mark.parametrize("name", ["backprop", "dfa", "ff_int8", "tinyfoa", "zeroth_order"])
def test_weights_do_not_grow_by_a_negative_decay(name):
    with pytest.raises(ConfigurationError, match="weight_decay"):
        build_algorithm(name, NET, {"weight_decay": -0.1})
