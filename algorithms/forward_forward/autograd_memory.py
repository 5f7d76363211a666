"""The closed form of Forward-Forward as it is usually written, differentiated by autograd.

Autograd keeps the activations of both passes, allocates every intermediate of the loss's derivative
separately, and holds a weight gradient per pass until it has added them up.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import math

from trainfit.algorithms.forward_forward.labels import plan_random_wrong_labels
from trainfit.algorithms.forward_forward.memory import (
    count_forward,
    count_normalise,
    hold_peers,
    plan_length,
    plan_with_static,
)
from trainfit.algorithms.forward_forward.peers import plan_pull
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category


def plan_autograd(
    model: Mlp, optimiser: Optimiser, batch_size: int, *, mean: bool, peer: bool
) -> MemoryPlan:
    """Both passes in one loss per layer; ``mean`` or sum of squares is the goodness."""
    plan = plan_with_static(model, optimiser, batch_size)
    if peer:
        hold_peers(plan, model)
    with plan.phase("forward"):
        wrong = plan_random_wrong_labels(plan, batch_size)
        shape = (batch_size, model.inputs)
        inputs = [
            plan.alloc(f"labelled inputs, {sign}", shape, Category.INPUTS, essential=False)
            for sign in ("positive", "negative")
        ]
        for _ in inputs:
            plan.free(plan_length(plan, batch_size))
            count_normalise(plan, batch_size, model.inputs)
    for number in range(1, len(model.hidden) + 1):
        layer = _Joint(plan, model, batch_size, number, mean=mean, peer=peer)
        inputs = layer.layer(optimiser, inputs)
    plan.free(wrong, *inputs)
    return plan


class _Joint:
    """One layer of the joint form."""

    def __init__(
        self,
        plan: MemoryPlan,
        model: Mlp,
        batch_size: int,
        number: int,
        *,
        mean: bool,
        peer: bool,
    ) -> None:
        self._plan = plan
        self._number = number
        self._wide = (batch_size, model.sizes[number])
        self._rows = (batch_size,)
        self._weights = (model.sizes[number], model.sizes[number - 1])
        self._mean = mean
        self._peer = peer

    def _forward(self, name: str, shape: tuple[int, ...], *, essential: bool = False) -> Item:
        return self._plan.alloc(name, shape, Category.ACTIVATIONS, essential=essential)

    def _gradient(self, name: str, shape: tuple[int, ...], *, essential: bool = False) -> Item:
        return self._plan.alloc(name, shape, Category.GRADIENTS, essential=essential)

    def layer(self, optimiser: Optimiser, inputs: list[Item]) -> list[Item]:
        """Loss, its gradient, the update, and the inputs of the next layer."""
        plan, number = self._plan, self._number
        with plan.phase("forward"):
            outputs, inner = [], None
            for essential in (True, False):  # the passes could run one after the other
                product = self._forward("w h + b", self._wide)
                outputs.append(self._forward(f"z{number}", self._wide, essential=essential))
                if self._peer and essential:
                    inner = product
                else:
                    plan.free(product)
                count_forward(plan, *self._wide[:1], self._weights[1], self._weights[0])
            loss, shifted = self._loss()
            pull = None
            if inner:
                loss, pull = self._peer_loss(loss, inner)
        with plan.phase("gradient"):
            gradients = self._backward(shifted, pull)
            plan.free(loss)
        with plan.phase("update"):
            for item in gradients:
                optimiser.plan_apply(plan, item.elements)
                plan.free(item)
        with plan.phase("forward"):
            following = []
            for old in inputs:
                length = self._forward("length", self._rows)
                clamped = self._forward("clamped length", self._rows)
                plan.free(length)
                following.append(self._forward(f"h{number}", self._wide))
                plan.free(clamped, old)
                plan.scalar()
                count_normalise(plan, *self._wide)
            plan.hand_over(outputs[0], following[0])  # could be done in place
            plan.free(outputs[1])
        return following

    def _loss(self) -> tuple[Item, list[Item]]:
        """mean(softplus(theta - G_pos) + softplus(G_neg - theta)); returns what backward needs."""
        plan = self._plan
        squares = [self._forward("z^2", self._wide) for _ in range(2)]
        goodness = []
        for _ in range(2):
            goodness.append(self._forward("goodness", self._rows))
            if self._mean:
                plan.scalar()
        shifted, softened = [], []
        for _ in range(2):
            with plan.number():
                shifted.append(self._forward("goodness - theta", self._rows))
            softened.append(self._forward("softplus", self._rows))
        total = self._forward("loss per row", self._rows)
        plan.free(*softened)
        loss = plan.alloc("loss", (), Category.WORKSPACE, essential=False)
        plan.scalar()
        plan.free(total, *squares, *goodness)
        return loss, shifted

    def _peer_loss(self, loss: Item, inner: Item) -> tuple[Item, Item]:
        """The loss with the peers' term, and the pull, which backward needs."""
        plan = self._plan
        pull = self._forward("pull", self._weights[:1])
        plan_pull(plan, *self._wide)
        rows = self._forward("pull on a row", self._rows)
        term = plan.alloc("pull on all", (), Category.WORKSPACE, essential=False)
        plan.free(rows)
        total = plan.alloc("loss", (), Category.WORKSPACE, essential=False)
        plan.free(term, loss, inner)
        for kind in (Kind.ADD, Kind.MULTIPLY):
            plan.each(kind, math.prod(self._wide))
        return total, pull

    def _backward(self, shifted: list[Item], pull: Item | None) -> list[Item]:
        """From the loss to the gradients of weight and bias, in that order."""
        plan = self._plan
        seed = plan.alloc("gradient of the loss", (), Category.WORKSPACE, essential=False)
        pulled = None
        if pull:
            pulled = self._gradient("d (w h + b) of the peers", self._wide)
            plan.free(pull)
            for kind in (Kind.ADD, Kind.MULTIPLY):
                plan.each(kind, math.prod(self._wide))
        with plan.number():
            d_total = self._gradient("d loss per row", self._rows)
        d_negative = self._gradient("d goodness, negative", self._rows)
        plan.free(shifted[1])
        d_shifted = self._gradient("d (theta - goodness)", self._rows)
        plan.free(shifted[0], d_total)
        d_positive = self._gradient("d goodness, positive", self._rows)
        plan.free(d_shifted)
        d_squares = [d_positive, d_negative]
        if self._mean:
            spread = []
            for d_goodness in d_squares:
                with plan.number():
                    spread.append(self._gradient("d z^2", self._wide))
                plan.free(d_goodness)
            d_squares = spread
        d_outputs = []
        for d_square in d_squares:
            power = self._gradient("z^1", self._wide)
            with plan.number():
                twice = self._gradient("2 z", self._wide)
            d_outputs.append(self._gradient("d z", self._wide))
            plan.free(power, twice, d_square)
        made: list[list[Item]] = []
        for d_output in d_outputs:
            essential = self._number == 1 and not made
            d_product = self._gradient("d (w h + b)", self._wide, essential=essential)
            plan.free(d_output)
            if pulled and made:  # the positive rows come last; what was there first is added to
                plan.free(d_product)
                d_product = pulled
            made.append([self._gradient("dw, one pass", self._weights)])
            made[-1].append(self._gradient("db, one pass", self._weights[:1]))
            plan.product(self._weights[0], self._wide[0], self._weights[1])
            plan.each(Kind.ADD, math.prod(self._wide))
            plan.each(Kind.MULTIPLY, 2 * math.prod(self._wide))  # 2 z dL/dG
            plan.each(Kind.TRANSCENDENTAL, self._wide[0])
            plan.free(d_product)
        bias = self._gradient("db", self._weights[:1])
        plan.free(made[0][1], made[1][1])
        plan.each(Kind.ADD, math.prod(self._weights) + self._weights[0])
        weight = self._gradient("dw", self._weights)
        plan.free(made[0][0], made[1][0], seed)
        return [weight, bias]
