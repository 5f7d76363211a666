from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.builders.runs import record, workload
from trainfit.bench.frames.sources import load_source
from trainfit.bench.frames.training import GRADIENTS, NOISE
from trainfit.bench.frames.workloads import IDENTITY
from trainfit.bench.processes.child import Ending, Outcome
from trainfit.bench.records.schema import (
    Evidence,
    LayerGradients,
    Noise,
    NoisyAccuracy,
    QuantisationError,
    QuantisedAccuracy,
    Record,
    StageOperations,
)
from trainfit.bench.run.runner import make_record

LAYER = LayerGradients(
    tensor="w1",
    stage="all",
    evidence=Evidence.ANALYTIC,
    shape=(3, 2),
    count=6,
    zeros=1,
    max_abs=0.5,
    rms=0.25,
    mean_abs=0.125,
    excess_kurtosis=1.5,
    histogram=[2, 3],
    histogram_below=0,
    int8=QuantisationError(relative_rms=0.01, cosine=0.9999, rounded_to_zero=0.2),
)

WITHOUT = LayerGradients(
    tensor="q1", stage="all", evidence=Evidence.UNAVAILABLE, reason="q1 is int8"
)

SOME_NOISE = Noise(
    samples=100,
    tensors=["w1"],
    undisturbed_accuracy=0.9,
    quantised=[QuantisedAccuracy(bits=8, test_accuracy=0.89)],
    noisy=[NoisyAccuracy(amplitude=0.1, seed=2, test_accuracy=0.8)],
)


def run(folder: Path, name: str, *records: Record) -> Path:
    path = folder / name
    path.mkdir()
    lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
    (path / "records.jsonl").write_text("".join(lines), "utf-8")
    return path


def probed(**changes: Any) -> Record:
    return record(options={"lr": 0.1}, gradients=[LAYER], noise=SOME_NOISE, **changes)


def test_a_row_per_weight_tensor(tmp_path: Path) -> None:
    first = run(tmp_path, "first", probed(), record(), record(batch_size=8, gradients=[WITHOUT]))
    second = run(tmp_path, "second", probed())

    frame = load_source([first, second], "gradients")

    assert list(frame.columns) == ["run", *IDENTITY, *GRADIENTS]
    assert list(frame["run"]) == ["first", "first", "second"]
    assert list(frame["tensor"]) == ["w1", "q1", "w1"]
    row = frame.iloc[0]
    assert row["options"] == '{"lr":0.1}'
    assert (row["count"], row["zeros"]) == (6, 1)
    assert json.loads(row["histogram"]) == [2, 3]
    assert json.loads(row["shape"]) == [3, 2]
    assert (row["int8_cosine"], row["int8_evidence"]) == (0.9999, "analytic")
    assert frame["reason"][1] == "q1 is int8"
    assert frame.loc[1, ["max_abs", "count", "int8_relative_rms"]].isna().all()


def test_rows_name_their_moment_and_records_without_one_have_the_last(tmp_path: Path) -> None:
    chosen = workload(epochs=5)
    moments = [LAYER.model_copy(update={"passes": passes}) for passes in (0, 2, 5)]
    stages = [StageOperations.of(name, {}, 0) for name in ("layer1", "layer2")]
    older = [
        record(workload=chosen, gradients=[LAYER, WITHOUT]),
        record(workload=chosen, gradients=[LAYER], operations=stages),
    ]
    lines = [json.loads(each.model_dump_json(by_alias=True)) for each in older]
    for line in lines:
        for layer in line["gradients"]:
            del layer["passes"]
    assert [Record.model_validate(line) for line in lines] == older

    path = run(tmp_path, "one", record(workload=chosen, gradients=moments), *older)

    frame = load_source([path], "gradients")
    assert list(frame["pass"]) == [0, 2, 5, 5, 5, 10]


def test_a_row_per_disturbance(tmp_path: Path) -> None:
    without = record(batch_size=8, noise=Noise(reason="packed bits"))

    frame = load_source([run(tmp_path, "one", probed(), record(), without)], "noise")

    assert list(frame.columns) == ["run", *IDENTITY, *NOISE]
    assert list(frame["disturbance"]) == ["none", "bits", "uniform", "unavailable"]
    assert list(frame["test_accuracy"][:3]) == [0.9, 0.89, 0.8]
    assert frame["bits"][1] == 8
    assert (frame["amplitude"][2], frame["noise_seed"][2]) == (0.1, 2)
    assert set(frame["samples"][:3]) == {100}
    assert frame["reason"][3] == "packed bits"
    assert frame.loc[3, ["test_accuracy", "samples", "bits"]].isna().all()


def test_a_run_without_probes_has_all_columns_and_no_row(tmp_path: Path) -> None:
    path = run(tmp_path, "plain", record())

    for source, own in (("gradients", GRADIENTS), ("noise", NOISE)):
        assert load_source([path], source).empty
        assert list(load_source([path], source).columns) == ["run", *IDENTITY, *own]


def test_what_a_worker_sends_of_the_probes_is_in_the_record() -> None:
    parts = {
        "gradients": [LAYER.model_dump(mode="json"), WITHOUT.model_dump(mode="json")],
        "noise": SOME_NOISE.model_dump(mode="json"),
    }

    made = make_record(workload(), parts, Outcome(Ending.RETURNED), 1.0)

    assert made.gradients == [LAYER, WITHOUT]
    assert made.noise == SOME_NOISE
