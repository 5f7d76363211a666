"""What a workload needs, by its prediction alone."""

from __future__ import annotations

from typing import Any

import pytest

from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.bench.records.schema import Evidence, Workload
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.trace.prediction import predict
from trainfit.hardware_profiles import load_device


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32-16-10", "dataset": "none", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("backprop", {}),
        ("backprop", {"optimizer": "adam", "micro_batch": 2}),
        ("tinyfoa", {"slices": 4}),
        ("forward_forward", {}),
        ("sparse_update", {"frozen": "flash"}),
    ],
)
def test_it_is_that_of_the_algorithm_as_built(algorithm: str, options: dict[str, Any]) -> None:
    # GIVEN the algorithm with real tensors
    built = build_algorithm(algorithm, "mlp-64-32-16-10", options)

    # WHEN the prediction is made without any
    form = predicted_workload(workload(algorithm, options=options))

    # THEN it has the same stages, and the same bytes in every one of them
    assert list(form.stages) == list(built.stages)
    for index, plan in enumerate(form.plans):
        built.enter_stage(index)
        expected = predict(built, 8)
        assert plan.static_bytes == expected.static_bytes
        assert plan.peak_bytes == expected.peak_bytes
        assert plan.storage_bytes == expected.storage_bytes
    assert form.ram_bytes == max(plan.ram_bytes for plan in form.plans)


def test_the_worst_stage_is_the_one_that_decides() -> None:
    # GIVEN a net whose second layer is by far the larger one, trained layer by layer
    form = predicted_workload(workload("tinyfoa", model="mlp-8-64-256-10"))

    # THEN its stage is the worst, and what is judged is of that stage
    assert [form.stages[form.worst]] == ["layer2"]
    needs = form.demand(load_device("stm32f407"))
    assert (needs.static_bytes or 0) + (needs.peak_dynamic_bytes or 0) == form.ram_bytes
    assert form.plans[1].ram_bytes > form.plans[0].ram_bytes
    assert needs.evidence is Evidence.TRACED
    assert needs.stages == len(form.operations) == 2
    assert needs.batch_size == 8


def test_storage_is_what_stays_out_of_ram() -> None:
    assert predicted_workload(workload()).storage_bytes == 0
    assert (predicted_workload(workload("tinyfoa")).storage_bytes or 0) > 0


def test_storage_that_grows_with_the_training_set_is_unknown_and_not_0() -> None:
    form = predicted_workload(workload("tinyfoa", options={"features": "cached"}))

    assert form.storage_bytes is None
    assert form.demand(load_device("stm32f407")).storage_bytes is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "backprob"}, "unknown algorithm 'backprob'; did you mean backprop"),
        ({"model": "mpl-64-10"}, "unknown model family 'mpl'; did you mean mlp?"),
        ({"options": {"lrr": 1}}, "unknown option of backprop 'lrr'; did you mean lr?"),
        ({"options": {"lr": "much"}}, "option 'lr' of backprop: .*, got 'much'"),
        ({"algorithm": "tinyfoa", "model": "mlp-64-33-10"}, "slices=2 does not divide width 33"),
    ],
)
def test_what_is_no_workload_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        predicted_workload(workload(**changes))


def test_a_net_larger_than_any_memory_takes_none() -> None:
    form = predicted_workload(workload(model="mlp-784-9999999x3-10", batch_size=1))

    assert form.ram_bytes > 10**14
