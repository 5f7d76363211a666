"""Forward-Forward as it is usually written: one loss per layer over both passes, by autograd.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.forward_forward.labels import random_wrong_labels, write_labels
from trainfit.algorithms.forward_forward.objective import Objective, normalise_
from trainfit.algorithms.forward_forward.options import Goodness
from trainfit.algorithms.forward_forward.peers import pull_
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category, phase, tag


def autograd_step(
    parameters: dict[str, torch.Tensor],
    optimiser: Optimiser,
    objective: Objective,
    x_BI: torch.Tensor,
    y_B: torch.Tensor,
    *,
    classes: int,
    label_scale: float,
    generator: torch.Generator,
    peers: list[torch.Tensor],
    peer: float,
) -> None:
    """One update of every layer ``w1, b1, ...`` in ``parameters``, which must require gradients.

    ``peers`` are the layers' running mean activities, none without peer normalisation.
    """
    with phase("forward"):
        wrong_B = random_wrong_labels(y_B, classes, generator)
        positive_BI = tag(x_BI.clone(), Category.INPUTS, "labelled inputs")
        negative_BI = tag(x_BI.clone(), Category.INPUTS, "wrongly labelled inputs")
        for h_BI, label_B in ((positive_BI, y_B), (negative_BI, wrong_B)):
            write_labels(h_BI, label_B, classes, label_scale)
            normalise_(h_BI, torch.linalg.vector_norm(h_BI, dim=1))
        del h_BI
    for number in range(1, len(parameters) // 2 + 1):
        w_OI, b_O = parameters[f"w{number}"], parameters[f"b{number}"]
        with phase("forward"):
            inner_BO = functional.linear(positive_BI, w_OI, b_O)
            z_positive_BO = inner_BO.relu()
            if not peers:
                del inner_BO
            z_negative_BO = functional.linear(negative_BI, w_OI, b_O).relu()
            loss = _loss(objective, z_positive_BO, z_negative_BO)
            if peers:
                # Before the rectifier, whose gradient is 0 for the units that need the pull most.
                mean_O = z_positive_BO.detach().mean(0)
                pull_O = pull_(mean_O, peers[number - 1], peer, len(inner_BO))
                loss = loss + (inner_BO @ pull_O).sum()
                del inner_BO, mean_O, pull_O
        with phase("gradient"):
            loss.backward()
            del loss
        with phase("update"), torch.no_grad():
            for name, parameter in ((f"w{number}", w_OI), (f"b{number}", b_O)):
                assert parameter.grad is not None
                optimiser.apply(name, parameter, parameter.grad)
                parameter.grad = None
        with phase("forward"), torch.no_grad():
            positive_BI = functional.normalize(z_positive_BO.detach(), dim=1)
            positive_BI *= z_positive_BO.shape[1] ** 0.5
            negative_BI = functional.normalize(z_negative_BO.detach(), dim=1)
            negative_BI *= z_negative_BO.shape[1] ** 0.5
            del z_positive_BO, z_negative_BO


def _loss(
    objective: Objective, z_positive_BO: torch.Tensor, z_negative_BO: torch.Tensor
) -> torch.Tensor:
    """mean(softplus(theta - G_pos) + softplus(G_neg - theta))."""
    theta = objective.theta(z_positive_BO.shape[1])
    mean = objective.goodness is Goodness.MEAN
    squares = (z_positive_BO.pow(2), z_negative_BO.pow(2))
    good_B, bad_B = (s.mean(1) if mean else s.sum(1) for s in squares)
    return (functional.softplus(theta - good_B) + functional.softplus(bad_B - theta)).mean()
