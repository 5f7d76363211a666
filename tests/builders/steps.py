"""Training steps of many kinds, as people write them; a builder makes all that its step uses."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

Step = Callable[[], object]
BUILDERS: dict[str, Callable[[], Step]] = {}


def builder(function: Callable[[], Step]) -> Callable[[], Step]:
    """Register a builder under its name."""
    BUILDERS[function.__name__] = function
    return function


def supervised(net: nn.Module, x: torch.Tensor, y: torch.Tensor, optimiser: object) -> Step:
    def step():
        functional.cross_entropy(net(x), y).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def classifier(optimiser: Callable[..., object], **options: object) -> Step:
    net = nn.Linear(64, 10)
    x, y = torch.rand(32, 64), torch.randint(0, 10, (32,))
    return supervised(net, x, y, optimiser(net.parameters(), **options))


@builder
def micro_batches():
    net, x, y = nn.Linear(100, 10), torch.rand(64, 100), torch.randint(0, 10, (64,))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)

    def step():
        for xb, yb in zip(x.split(8), y.split(8), strict=True):
            (functional.cross_entropy(net(xb), yb) / 8).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


@builder
def class_token():
    token, place = nn.Parameter(torch.zeros(1, 1, 32)), nn.Parameter(torch.zeros(1, 17, 32))
    head, x = nn.Linear(32, 4), torch.rand(16, 16, 32)

    def step():
        (head((torch.cat([token.expand(16, -1, -1), x], 1) + place)[:, 0])).sum().backward()
        head.zero_grad()
        token.grad = place.grad = None

    return step


@builder
def expanded_bias():
    bias, x = torch.rand(10), torch.rand(100, 10)
    return lambda: x + bias.expand_as(x)


@builder
def columns_of_a_batch():
    x, w = torch.rand(64, 100), torch.rand(50, 10)

    def step():
        x[:, :50] @ w
        x[:, 50:] @ w

    return step


@builder
def overlapping_windows():
    x = torch.rand(1000)
    return x.unfold(0, 10, 1).cos


@builder
def lbfgs():
    net = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 1))
    x, y = torch.rand(50, 20), torch.rand(50, 1)
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=4, history_size=3)

    def step():
        def closure():
            optimiser.zero_grad()
            loss = functional.mse_loss(net(x), y)
            loss.backward()
            return loss

        optimiser.step(closure)
        optimiser.zero_grad()

    return step


@builder
def replaced_data():
    w, x = nn.Parameter(torch.rand(1000)), torch.rand(1000)

    def step():
        w.data = w.data + x

    return step


@builder
def replaced_momentum():
    w, g, kept = torch.rand(500), torch.rand(500), [torch.zeros(500)]

    def step():
        kept[0] = kept[0] * 0.9 + g
        w.sub_(kept[0])

    return step


@builder
def swapped_tensors():
    w = torch.rand(100)
    return lambda: torch.utils.swap_tensors(w, w * 2)


@builder
def hidden_state():
    cell, x, state = nn.GRUCell(8, 16), torch.rand(4, 8), [torch.zeros(4, 16)]

    def step():
        new = cell(x, state[0])
        new.sum().backward()
        cell.zero_grad()
        state[0] = new.detach()

    return step


@builder
def kept_for_two_steps():
    net, x, kept = nn.Linear(10, 10), torch.rand(4, 10), []

    def step():
        kept.append(torch.rand(1000))
        if len(kept) > 2:
            kept.pop(0)
        net(x).sum().backward()
        net.zero_grad()

    return step


@builder
def loop_variables_that_live_on():
    net, x, names = nn.Linear(40, 40), torch.rand(8, 40), {}

    def step():
        before = names.get("now")
        names["now"] = net(x).detach()
        names["before"] = before

    return step


@builder
def mapped_weights():
    file = Path(tempfile.mkdtemp(), "w.pt")
    torch.save({"w": torch.rand(100, 100)}, file)

    def step():
        w = torch.load(file, mmap=True)["w"]
        (w @ w).sum()

    return step


@builder
def replay_memory_of_two():
    kept = [torch.rand(1000)]

    def step():
        kept.append(torch.rand(1000))
        kept.pop(0)

    return step


@builder
def adam_in_a_loop():
    return classifier(torch.optim.Adam, foreach=False)


@builder
def adam_foreach():
    return classifier(torch.optim.Adam, foreach=True)


@builder
def adam_fused():
    return classifier(torch.optim.Adam, fused=True)


@builder
def rmsprop_foreach():
    return classifier(torch.optim.RMSprop, foreach=True, momentum=0.9)


@builder
def lstm():
    net, head = nn.LSTM(16, 32, 2, batch_first=True), nn.Linear(32, 5)
    x, y = torch.rand(8, 20, 16), torch.randint(0, 5, (8,))
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()])
    return supervised(lambda inputs: head(net(inputs)[0][:, -1]), x, y, optimiser)


@builder
def gru_both_ways():
    net, x = nn.GRU(8, 16, bidirectional=True), torch.rand(5, 3, 8)
    optimiser = torch.optim.RMSprop(net.parameters(), foreach=True)

    def step():
        net(x)[0].sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


@builder
def transformer():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    net, x, y = nn.Sequential(layer, nn.Linear(32, 3)), torch.rand(4, 10, 32), torch.rand(4, 10, 3)
    optimiser = torch.optim.AdamW(net.parameters())

    def step():
        functional.mse_loss(net(x), y).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


@builder
def attention():
    project, x = nn.Linear(32, 96), torch.rand(2, 10, 32)

    def step():
        q, k, v = project(x).view(2, 10, 3, 4, 8).permute(2, 0, 3, 1, 4)
        functional.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
        project.zero_grad()

    return step


@builder
def embedding():
    net = nn.Sequential(nn.Embedding(100, 16), nn.Linear(16, 4))
    x, y = torch.randint(0, 100, (8,)), torch.randint(0, 4, (8,))
    return supervised(net, x, y, torch.optim.Adam(net.parameters(), fused=True))


@builder
def sparse_embedding():
    net = nn.Sequential(nn.Embedding(100, 16, sparse=True), nn.Linear(16, 4))
    x, y = torch.randint(0, 100, (8,)), torch.randint(0, 4, (8,))
    return supervised(net, x, y, torch.optim.SGD(net.parameters(), lr=0.1))


@builder
def gradient_penalty():
    net, x = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 1)), torch.rand(16, 20)

    def step():
        inputs = x.clone().requires_grad_()
        out = net(inputs)
        (gradient,) = torch.autograd.grad(out.sum(), inputs, create_graph=True)
        (out.mean() + ((gradient.norm(2, 1) - 1) ** 2).mean()).backward()
        net.zero_grad()

    return step


@builder
def a_tensor_used_twice():
    w, a, b = torch.rand(100, 100, requires_grad=True), torch.rand(10, 100), torch.rand(10, 100)

    def step():
        ((a @ w).sum() + (b @ w).sum()).backward()
        w.grad = None

    return step


@builder
def forward_forward_in_torch():
    layers = nn.ModuleList([nn.Linear(20, 30), nn.Linear(30, 30)])
    optimiser = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
    x, real = torch.rand(16, 20), torch.cat([torch.ones(8), torch.zeros(8)])

    def step():
        optimiser.zero_grad()
        z, loss = x, 0
        for layer in layers:
            z = layer(z).relu()
            goodness = (z**2).sum(1) - z.shape[1]
            loss = loss + functional.binary_cross_entropy_with_logits(goodness, real)
            z = z.detach()
            z = z / (z.norm(dim=1, keepdim=True) + 1e-8)
        loss.backward()
        optimiser.step()

    return step


@builder
def checkpointed():
    blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3))
    x = torch.rand(32, 64)

    def step():
        h = x
        for block in blocks:
            h = checkpoint(block, h, use_reentrant=False)
        h.sum().backward()
        blocks.zero_grad()

    return step


@builder
def optimiser_in_backward():
    net, x = nn.Sequential(*[nn.Linear(64, 64) for _ in range(3)]), torch.rand(16, 64)
    each = {p: torch.optim.Adam([p], foreach=False) for p in net.parameters()}

    def hook(parameter):
        each[parameter].step()
        each[parameter].zero_grad()

    for parameter in net.parameters():
        parameter.register_post_accumulate_grad_hook(hook)
    return lambda: net(x).sum().backward()


@builder
def convolution_with_batch_norm():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)
    )
    x, y = torch.rand(4, 3, 8, 8), torch.randint(0, 4, (4,))
    return supervised(net, x, y, torch.optim.Adam(net.parameters()))


@builder
def average_of_weights():
    net, x = nn.Linear(20, 20), torch.rand(8, 20)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), foreach=True)

    def step():
        net(x).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, 0.1)

    return step


@builder
def gradients_zeroed_in_place():
    net, x = nn.Linear(30, 30), torch.rand(8, 30)

    def step():
        net(x).sum().backward()
        net(x).pow(2).sum().backward()
        net.zero_grad(set_to_none=False)

    return step


@builder
def gradients_found():
    net, x = nn.Linear(30, 30), torch.rand(8, 30)

    def step():
        net.zero_grad()
        net(x).sum().backward()

    return step


@builder
def compiled():
    net, x = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), torch.rand(32, 64)
    fast = torch.compile(net, backend="aot_eager")

    def step():
        fast(x).sum().backward()
        net.zero_grad()

    step()  # compiled before anybody measures
    return step
