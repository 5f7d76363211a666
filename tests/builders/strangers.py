"""Training steps as strangers write them: nets, optimisers, loops that no one here wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from trainfit.algorithms.phases import phase

Step = Callable[[], Any]
Make = Callable[[], Step]


def training(
    net: Callable[[], nn.Module],
    shape: tuple[int, ...],
    *,
    classes: int = 10,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    **options: Any,
) -> Make:
    """A function that makes a net and a step that trains it, phases marked."""

    def make() -> Step:
        model = net()
        x, y = torch.rand(*shape), torch.randint(0, classes, (shape[0],))
        trainer = optimizer(model.parameters(), **options)

        def step() -> None:
            with phase("forward"):
                loss = functional.cross_entropy(model(x), y)
            with phase("gradient"):
                loss.backward()
            with phase("update"):
                trainer.step()
                trainer.zero_grad()

        return step

    return make


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cells = kind(8, 12, 2, batch_first=True)
        self.out = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.out(self.cells(x)[0][:, -1])
        return h


class Attention(nn.Module):
    """An encoder layer over words, its last layer tied to the first."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout, batch_first=True)
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.words.weight

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.block(self.words(words)))
        return out


def attention(dropout: float) -> Make:
    def make() -> Step:
        model = Attention(dropout)
        words = torch.randint(0, 50, (4, 12))
        trainer = torch.optim.AdamW(model.parameters())

        def step() -> None:
            scores = model(words).flatten(0, 1)
            functional.cross_entropy(scores, words.flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            trainer.step()
            trainer.zero_grad()

        return step

    return make


def forward_forward() -> Step:
    layers = [nn.Linear(32, 64), nn.Linear(64, 64)]
    trainers = [torch.optim.Adam(layer.parameters()) for layer in layers]
    x, other = torch.rand(16, 32), torch.rand(16, 32)

    def step() -> None:
        good, bad = x, other
        for layer, trainer in zip(layers, trainers, strict=True):
            good = good / (good.norm(2, 1, keepdim=True) + 1e-4)
            bad = bad / (bad.norm(2, 1, keepdim=True) + 1e-4)
            up, down = layer(good).relu(), layer(bad).relu()
            margins = [2 - up.pow(2).mean(1), down.pow(2).mean(1) - 2]
            functional.softplus(torch.cat(margins)).mean().backward()
            trainer.step()
            trainer.zero_grad()
            good, bad = up.detach(), down.detach()

    return step


def shared_layer() -> Step:
    """A tensor that is used twice: autograd adds its gradients in place."""
    layer, x = nn.Linear(32, 32), torch.rand(16, 32)

    def step() -> None:
        h = layer(torch.tanh(layer(x)))
        h = h + layer(h) * h
        h.sum().backward()
        layer.zero_grad()

    return step


def accumulated() -> Step:
    model = nn.Linear(100, 10)
    x, y = torch.rand(64, 100), torch.randint(0, 10, (64,))
    trainer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        for rows, labels in zip(x.split(8), y.split(8), strict=True):
            (functional.cross_entropy(model(rows), labels) / 8).backward()
        trainer.step()
        trainer.zero_grad()

    return step


def class_token() -> Step:
    token = nn.Parameter(torch.zeros(1, 1, 32))
    places = nn.Parameter(torch.zeros(1, 17, 32))
    head, x, y = nn.Linear(32, 4), torch.rand(8, 16, 32), torch.randint(0, 4, (8,))
    trainer = torch.optim.SGD([token, places, *head.parameters()], lr=0.1)

    def step() -> None:
        h = torch.cat([token.expand(len(x), -1, -1), x], 1) + places
        functional.cross_entropy(head(h[:, 0]), y).backward()
        trainer.step()
        trainer.zero_grad()

    return step


def penalty() -> Step:
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 1))
    x, trainer = torch.rand(16, 20), torch.optim.Adam(model.parameters())

    def step() -> None:
        rows = x.clone().requires_grad_()
        out = model(rows)
        (slope,) = torch.autograd.grad(out.sum(), rows, create_graph=True)
        (out.mean() + ((slope.norm(2, 1) - 1) ** 2).mean()).backward()
        trainer.step()
        trainer.zero_grad()

    return step


def checkpointed() -> Step:
    blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3))
    x = torch.rand(32, 64)

    def step() -> None:
        h = x
        for block in blocks:
            h = checkpoint(block, h, use_reentrant=False)
        h.sum().backward()
        blocks.zero_grad()

    return step


def updated_in_backward() -> Step:
    model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(3)])
    x = torch.rand(16, 64)
    trainers = {each: torch.optim.Adam([each], foreach=False) for each in model.parameters()}

    def update(weight: torch.Tensor) -> None:
        trainers[weight].step()
        trainers[weight].zero_grad()

    for each in model.parameters():
        each.register_post_accumulate_grad_hook(update)

    def step() -> None:
        model(x).sum().backward()

    return step


def leaking() -> Step:
    model, x = nn.Linear(64, 10), torch.rand(32, 64)
    history: list[torch.Tensor] = []

    def step() -> None:
        out = model(x)
        out.sum().backward()
        history.append(out)
        model.zero_grad()

    return step


def cleared(how: str) -> Make:
    """Gradients cleared at the start, at the end, or to zeros."""

    def make() -> Step:
        model, x, y = nn.Linear(64, 10), torch.rand(32, 64), torch.randint(0, 10, (32,))
        trainer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step() -> None:
            if how != "end":
                trainer.zero_grad(set_to_none=how == "start")
            functional.cross_entropy(model(x), y).backward()
            trainer.step()
            if how == "end":
                trainer.zero_grad()

        return step

    return make


def logged() -> Step:
    """Reads the loss, and does nothing else with it."""
    model, x, y = nn.Linear(32, 4), torch.rand(16, 32), torch.randint(0, 4, (16,))
    trainer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses: list[float] = []

    def step() -> float:
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        trainer.step()
        trainer.zero_grad()
        losses.append(loss.item())
        return losses[-1]

    return step


def loaded() -> Step:
    """A pass over a shuffled loader."""
    data = torch.utils.data.TensorDataset(torch.rand(24, 4), torch.randint(0, 4, (24,)))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    model = nn.Linear(4, 4)
    trainer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        for x, y in loader:
            functional.cross_entropy(model(x), y).backward()
            trainer.step()
            trainer.zero_grad()

    return step


def segmented() -> Step:
    """Down, up, and a skip between."""
    first, down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
    up, last = nn.ConvTranspose2d(8, 8, 2, stride=2), nn.Conv2d(16, 1, 1)
    model = nn.ModuleList([first, down, up, last])
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    trainer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        h = first(x).relu()
        out = last(torch.cat([h, up(down(h).relu())], 1))
        functional.mse_loss(out, y).backward()
        trainer.step()
        trainer.zero_grad()

    return step


STEPS: dict[str, Make] = {
    "mlp": training(mlp, (16, 64), lr=0.1),
    "momentum": training(mlp, (16, 64), lr=0.1, momentum=0.9),
    "adam": training(mlp, (16, 64), optimizer=torch.optim.Adam),
    "adam, foreach": training(mlp, (16, 64), optimizer=torch.optim.Adam, foreach=True),
    "adam, fused": training(mlp, (16, 64), optimizer=torch.optim.Adam, fused=True),
    "rmsprop": training(mlp, (16, 64), optimizer=torch.optim.RMSprop),
    "nadam": training(mlp, (16, 64), optimizer=torch.optim.NAdam),
    "cnn": training(cnn, (4, 3, 16, 16), lr=0.1),
    "cnn, large batch": training(cnn, (20, 3, 16, 16), lr=0.1),
    "lstm": training(lambda: Recurrent(nn.LSTM), (3, 5, 8), classes=5, lr=0.1),
    "gru": training(lambda: Recurrent(nn.GRU), (3, 5, 8), classes=5, lr=0.1),
    "attention": attention(0.0),
    "attention, dropout": attention(0.1),
    "forward-forward": forward_forward,
    "shared layer": shared_layer,
    "accumulated": accumulated,
    "class token": class_token,
    "penalty": penalty,
    "checkpointed": checkpointed,
    "updated in backward": updated_in_backward,
    "leaking": leaking,
    "cleared at the start": cleared("start"),
    "cleared at the end": cleared("end"),
    "cleared to zeros": cleared("zeros"),
    "logged": logged,
    "loaded": loaded,
    "segmented": segmented,
}
