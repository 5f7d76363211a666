from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.runs import workload
from trainfit.bench.records.schema import Workload
from trainfit.bench.suite.workload_text import WorkloadTextError, parse_options, parse_workload

GIVEN = {"model": "mlp-64-10", "dataset": "digits", "batch_size": 32}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"options": {"optimizer": "adam", "lr": 0.001}, "model": "mlp-64-128-128-10"},
        {"options": {"lr": 1e-05, "checkpoint": 2, "momentum": 0.0}},
        {"algorithm": "ff_int8", "options": {"lookahead": "true"}},
        {"algorithm": "package.module:Class", "options": {"own": True, "other": False}},
        {"dataset": "mnist", "train_samples": 500},
        {"dataset": "mnist", "held_out": 10_000},
        {"dataset": "mnist", "train_samples": 500, "held_out": 200, "standardise": True},
        {"dataset": "mitbih-intra", "standardise": True, "model": "lc-16-32"},
        {"dataset": "synthetic-64-10", "train_samples": 7, "standardise": True},
        {"model": "mobilenet_v2"},
        {"dataset": "mnist", "augment": "crop-flip"},
        {"dataset": "mnist", "train_samples": 9, "standardise": True, "augment": "crop-flip"},
    ],
)
def test_a_label_reads_back_as_its_workload(changes: dict[str, Any]) -> None:
    written = workload(**changes)
    assert parse_workload(written.label) == written


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.one_of(
            st.booleans(),
            st.integers(-(10**9), 10**9),
            st.floats(allow_nan=False),
            st.sampled_from(["adam", "true-ish", "no+bias", "layer1.weight"]),
        ),
        max_size=4,
    ),
    st.integers(1, 10_000),
)
def test_any_options_read_back(options: dict[str, Any], batch_size: int) -> None:
    written = workload(algorithm="somebody:Elses", options=options, batch_size=batch_size)
    assert parse_workload(written.label) == written


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("backprop", {}),
        ("  backprop  ", {}),
        ("backprop b8", {"batch_size": 8}),
        ("backprop mnist", {"dataset": "mnist"}),
        ("backprop mlp-784-10", {"model": "mlp-784-10"}),
        ("backprop lc-16-32 b8", {"model": "lc-16-32", "batch_size": 8}),
        ("backprop synthetic-9-3", {"dataset": "synthetic-9-3"}),
        ("backprop mitbih-intra b1", {"dataset": "mitbih-intra", "batch_size": 1}),
        ("backprop mnist[:9] standardised", {"dataset": "mnist", "train_samples": 9,
                                             "standardise": True}),
        ("backprop mnist crop-flip", {"dataset": "mnist", "augment": "crop-flip"}),
        ("backprop[] mlp-9-3 mnist", {"model": "mlp-9-3", "dataset": "mnist"}),
        ("backprop[ lr = 0.5 , optimizer = adam ]", {"options": {"lr": 0.5, "optimizer": "adam"}}),
        ("backprop[update=fused]", {"options": {"update": "fused"}}),
        ("a:B[x=[1, 2],y='a,b']", {"algorithm": "a:B", "options": {"x": [1, 2], "y": "a,b"}}),
    ],
)  # fmt: skip
def test_what_is_left_out_comes_from_beside(text: str, changes: dict[str, Any]) -> None:
    assert parse_workload(text, **GIVEN, seed=5) == workload(seed=5, **changes)


def test_what_is_written_wins() -> None:
    written = parse_workload("backprop mlp-9-3 mnist b7", **GIVEN)
    assert (written.model, written.dataset, written.batch_size) == ("mlp-9-3", "mnist", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("[lr=1] mlp-64-10", "does not begin with an algorithm"),
        ("lr=1", "does not begin with an algorithm"),
        ("backprop[lr=1", "a ']' is missing"),
        ("backprop[lr=1]b8", "a space is missing after the options, before 'b8'"),
        ("backprop[lr]", "option 'lr' is not of the form name=value"),
        ("backprop[lr=]", "option 'lr=' is not of the form"),
        ("backprop[=3]", "option '=3' is not of the form"),
        ("backprop[lr=1,]", "option '' is not of the form"),
        ("backprop[lr=1,lr=2]", "option 'lr' is given twice"),
        ("backprop mlp-64-10 digits b8 b9", "'b8' is too much"),
        ("backprop mlp-64-10 digits 32", "'32' is too much"),
        ("backprop mlp-64-10 digits b0", "a batch size of 0; at least 1"),
        ("backprop mlp-64-10 standardised digits b8", "'digits' is too much"),
    ],
)
def test_what_cannot_be_read_is_one_message(text: str, message: str) -> None:
    with pytest.raises(WorkloadTextError) as raised:
        parse_workload(text, **GIVEN)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model", "it has no model (add one such as mlp-64-128-128-10, or --model)"),
        ("dataset", "it has no data set (add one such as digits, or --dataset)"),
        ("batch_size", "it has no batch size (add one such as b32, or --batch-size)"),
    ],
)
def test_what_is_given_nowhere_is_asked_for(missing: str, message: str) -> None:
    with pytest.raises(WorkloadTextError) as raised:
        parse_workload("backprop", **GIVEN | {missing: None})
    assert str(raised.value).startswith(f"workload 'backprop': {message}; write it like ")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("3", 3),
        ("0.1", 0.1),
        ("1e-05", 1e-05),
        ('"3"', "3"),
        ("adam", "adam"),
        ("True", "True"),
        ("2024-01-01", "2024-01-01"),
        ("3\nother = 4", "3\nother = 4"),
        ("a=b", "a=b"),
    ],
)
def test_values(written: str, value: Any) -> None:
    found = parse_options([f"key={written}"])
    assert found == {"key": value}
    assert type(found["key"]) is type(value)


def test_the_algorithm_decides_what_could_be_text() -> None:
    # GIVEN an option whose choices are texts, one of them "true", and one that is a truth
    assert parse_options(["lookahead=true"], algorithm="ff_int8") == {"lookahead": "true"}
    assert parse_options(["lookahead=true"]) == {"lookahead": True}
    assert parse_options(["lr=3"], algorithm="backprop") == {"lr": 3}
    # what does not exist is for others to say
    assert parse_options(["nothing=3"], algorithm="backprop") == {"nothing": 3}
    assert parse_options(["lr=3"], algorithm="nobody") == {"lr": 3}


def test_the_form_in_messages_is_right() -> None:
    from trainfit.bench.suite.workload_text import FORM

    assert isinstance(parse_workload(FORM), Workload)
