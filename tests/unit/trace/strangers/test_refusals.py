"""Steps whose bytes do not follow from their code: refused, with the line and the reason."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch.nn import functional

import trainfit
from trainfit.bench.trace.strangers.errors import ReadsDataError, UnsettledError, UntraceableError

Step = Callable[[], Any]


def by_mask() -> Step:
    x = torch.rand(10)

    def step() -> None:
        x[x > 0.5].sum()

    return step


def nonzero() -> Step:
    x = torch.rand(10)
    return lambda: torch.nonzero(x * 2)


def as_array() -> Step:
    x = torch.rand(10)

    def step() -> None:
        (x * 2).numpy()

    return step


def sparse() -> Step:
    words, x = torch.nn.Embedding(10, 4, sparse=True), torch.randint(0, 10, (5,))

    def step() -> None:
        words(x).sum().backward()

    return step


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (by_mask, "a mask as an index gives depends on data"),
        (nonzero, "nonzero gives depends on data"),
        (as_array, "numpy hands values to code that is not torch's"),
        (sparse, "layout torch.sparse_coo"),
    ],
)
def test_what_depends_on_data_is_named_with_its_line(make: Callable[[], Step], reason: str) -> None:
    with pytest.raises(UntraceableError, match=rf"test_refusals\.py:\d+: .*{reason}"):
        trainfit.predict_step(make())


def test_a_mask_that_is_filled_with_a_number_is_no_such_thing() -> None:
    x = torch.rand(10)

    def step() -> None:
        h = x * 2
        h[h > 1] = 0.0

    assert trainfit.predict_step(step).peak_dynamic_bytes >= 40


def test_control_flow_by_a_value_is_refused_where_the_value_is_read() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)

    def step() -> None:
        loss = layer(x).sum()
        if loss > 1:
            loss = loss + layer(x).tanh().sum()
        loss.backward()
        layer.zero_grad()

    with pytest.raises(ReadsDataError, match=r"a value of a tensor, read at .*refusals\.py:\d+"):
        trainfit.predict_step(step)


def test_lbfgs_stops_by_values() -> None:
    layer, x, y = torch.nn.Linear(4, 1), torch.rand(8, 4), torch.rand(8, 1)
    trainer = torch.optim.LBFGS(layer.parameters(), max_iter=4)

    def closure() -> torch.Tensor:
        trainer.zero_grad()
        loss = functional.mse_loss(layer(x), y)
        loss.backward()
        return loss

    with pytest.raises(ReadsDataError, match=r"test_refusals\.py"):
        trainfit.predict_step(lambda: trainer.step(closure))


def test_a_cycle_has_to_be_named() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)
    trainer, calls = torch.optim.Adam(layer.parameters()), []

    def step() -> None:
        layer(x).sum().backward()
        calls.append(None)
        if len(calls) % 4 == 0:
            trainer.step()
            trainer.zero_grad()

    with pytest.raises(UnsettledError, match=r"every 4 calls.*steps=4"):
        trainfit.predict_step(step)
    cycle = trainfit.predict_step(step, steps=4)
    assert cycle.steps == 4
    assert cycle.static_categories["optimizer_state"] == 2 * (16 + 4) * 4 + 2 * 4


def test_a_step_that_grows_never_settles() -> None:
    kept: list[torch.Tensor] = []

    def step() -> None:
        kept.append(torch.ones(4))
        torch.stack(kept)

    with pytest.raises(UnsettledError, match="did not settle in 18 calls"):
        trainfit.predict_step(step)


def test_operators_in_other_threads_are_not_followed() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)

    def step() -> None:
        h = x * 2
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: layer(h)).result()

    with pytest.raises(UntraceableError, match="another thread"):
        trainfit.predict_step(step)


def test_what_a_step_raises_passes() -> None:
    def step() -> None:
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        trainfit.predict_step(step)


def test_a_function_that_makes_steps_is_no_step() -> None:
    with pytest.raises(TypeError, match="if the step makes steps"):
        trainfit.predict_step(lambda: lambda: None)
