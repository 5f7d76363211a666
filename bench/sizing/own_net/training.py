"""One training step of any ``torch.nn.Module`` by autograd, as people write it.

Optimisers are torch's own. With ``update=fused`` every parameter has one of its own, which runs as
soon as the gradient is there, as torch's tutorial "How to save memory by fusing an optimizer step
into the backward pass" has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

from trainfit.algorithms.backprop.loss import mean_loss
from trainfit.algorithms.backprop.options import BackpropOptions, Update
from trainfit.algorithms.options import OptimizerName
from trainfit.algorithms.phases import phase

Forward = Callable[[torch.Tensor], torch.Tensor]


def training_step(
    net: torch.nn.Module,
    forward: Forward,
    x: torch.Tensor,
    y: torch.Tensor,
    options: BackpropOptions,
) -> Callable[[], None]:
    """A step that trains a net once on one batch.

    Args:
        net: What is trained.
        forward: Its forward pass, which gives scores of shape (batch, classes).
        x: Inputs, shape (batch, ...).
        y: Labels, int64, shape (batch,).
        options: Optimiser, loss, and the form of the step.
    """
    trained = [each for each in net.parameters() if each.requires_grad]
    backward = partial(_gradients, forward, x, y, options)
    if options.update is Update.FUSED:
        for parameter in trained:
            own = _optimiser([parameter], options)
            parameter.register_post_accumulate_grad_hook(partial(_applied, own))
        return backward
    optimiser = _optimiser(trained, options)

    def step() -> None:
        backward()
        with phase("update"):
            optimiser.step()
            optimiser.zero_grad()

    return step


def _gradients(
    forward: Forward, x: torch.Tensor, y: torch.Tensor, options: BackpropOptions
) -> None:
    """Add the gradients of the mean loss of the batch, a number of rows at a time."""
    rows = options.micro_batch or len(x)
    for some_x, some_y in zip(x.split(rows), y.split(rows), strict=True):
        with phase("forward"):
            loss = mean_loss(forward(some_x), some_y, options.loss)
            if rows < len(x):
                loss = loss * (len(some_x) / len(x))
        with phase("gradient"):
            loss.backward()
            del loss


def _applied(optimiser: torch.optim.Optimizer, parameter: torch.Tensor) -> None:
    del parameter  # it is the optimiser's only one
    with phase("update"):
        optimiser.step()
        optimiser.zero_grad()


def _optimiser(
    parameters: Iterable[torch.Tensor], options: BackpropOptions
) -> torch.optim.Optimizer:
    if options.optimizer is OptimizerName.ADAM:
        return torch.optim.Adam(parameters, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        nesterov=options.nesterov,
    )


def in_segments(net: torch.nn.Module, length: int) -> Forward:
    """A sequence of modules of which only every ``length``-th input is kept for the gradient.

    Raises:
        ValueError: The net is no ``torch.nn.Sequential``, so where to cut it is not known.
    """
    if not isinstance(net, torch.nn.Sequential):
        raise ValueError(
            f"checkpoint={length} recomputes parts of a torch.nn.Sequential, and the net is a"
            f" {type(net).__name__}; call torch.utils.checkpoint in its forward"
        )
    parts = [net[first : first + length] for first in range(0, len(net), length)]

    def forward(x: torch.Tensor) -> torch.Tensor:
        for part in parts[:-1]:
            x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False)
        last: torch.Tensor = parts[-1](x)
        return last

    return forward
