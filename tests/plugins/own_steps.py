"""Functions that a user might name with --step, right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from trainfit import phase

kept: list[torch.Tensor] = []


def small_net() -> Callable[[], None]:
    """A linear layer of 64 x 10 and a batch of 32; the weight and its gradient are 2,600 B each."""
    net = torch.nn.Linear(64, 10)
    x, y = torch.rand(32, 64), torch.randint(0, 10, (32,))

    def step() -> None:
        with phase("forward"):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        with phase("gradient"):
            loss.backward()  # type: ignore[no-untyped-call]
        with phase("update"), torch.no_grad():
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad = None

    return step


def accumulating() -> Callable[[], None]:
    """Gradients are added up over four calls."""
    net, x, calls = torch.nn.Linear(64, 10), torch.rand(32, 64), [0]

    def step() -> None:
        calls[0] += 1
        net(x).sum().backward()
        if calls[0] % 4 == 0:
            net.zero_grad()

    return step


def without_torch() -> Callable[[], None]:
    """A step that makes no tensor."""

    def step() -> None:
        sum(range(100))

    return step


def leaking() -> Callable[[], None]:
    """Every step keeps 1,280 B."""
    net, x = torch.nn.Linear(64, 10), torch.rand(32, 64)

    def step() -> None:
        kept.append(net(x).detach())

    return step


def raising() -> Callable[[], None]:
    def step() -> None:
        raise ValueError("the batch is broken")

    return step


def of_a_batch() -> Callable[[torch.Tensor], None]:
    return lambda x: None


def generating() -> Callable[[], Iterator[int]]:
    return lambda: (number for number in range(3))


def broken() -> Callable[[], None]:
    raise KeyError("no data")


def nothing() -> None:
    """Returns no step."""


def with_arguments(width: int, depth: int = 2) -> Callable[[], None]:
    return lambda: None


learning_rate = 0.1
