"""From a run folder to figures: what is gated, what is valid, what may be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import ENVIRONMENT, KEY, golden, phases, stage, tensors, whole, write_run
from tests.builders.runs import failed, memory, workload
from trainfit.bench.errors import RunFolderError
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.gate.figures import TensorGroup, figures_of_record, key_of
from trainfit.bench.gate.golden import read_golden, write_golden
from trainfit.bench.gate.rules import GoldenError
from trainfit.bench.gate.run import Update, gate, read_run, update_golden
from trainfit.bench.records.schema import SCHEMA, Evidence, PhaseMemory, Record
from trainfit.bench.records.schema.older import RENAMED


def gate_run(run: Path, file: Path) -> GateResult:
    return gate(read_golden(file), read_run(run))


def update_from_run(run: Path, file: Path, **options: bool) -> Update:
    return update_golden(read_run(run), file, **options)


def figures(record: Record) -> dict[str, dict[str, Any]]:
    assert record.memory is not None
    return figures_of_record(record.memory, record.operations).figures


# ---- figures -------------------------------------------------------------------------------------


def test_every_deterministic_figure_is_there_and_no_other() -> None:
    found = figures(whole())
    assert found["workload"] == {
        "static_bytes": 9_000,
        "storage_bytes": 0,
        "peak_dynamic_bytes": 4_600,
        "peak_phase": "gradient",
        "predicted_bytes": 4_600,
        "device_bytes": 4_600,
        "worst_stage": "all",
    }
    assert found["all"]["static.optimizer_state_bytes"] == 4_000
    assert found["all"]["left_after_step_bytes"] == 0
    assert found["all/update"] == {
        "peak_bytes": 4_000,
        "entry_bytes": 4_000,
        "exit_bytes": 0,
        "predicted_bytes": 4_000,
        "device_bytes": 4_000,
        "category.gradients_bytes": 4_000,
        "elementwise.fp32.add": 650,
    }
    assert found["all/forward"]["macs.fp32"] == 20_480
    assert found["all/forward"]["calls.product"] == 1
    names = {name for place in found.values() for name in place}
    assert not [name for name in names if "second" in name or "joule" in name or "deploy" in name]


def test_what_is_unknown_is_no_figure() -> None:
    found = phases()
    found["update"] = found["update"].model_copy(update={"device_bytes": None})
    assert "device_bytes" not in figures(whole(stage(found)))["all/update"]


def test_tensors_that_are_alike_are_one_group_and_a_refined_phase_has_none() -> None:
    twins = tensors(*[("addmm float32 2x2", 16, "activations")] * 2, ("?", 4, "workspace"))
    plain = {"peak_bytes": 36, "entry_bytes": 0, "exit_bytes": 0, "categories": {}}
    refined = {
        name: PhaseMemory.model_validate(plain | {"peak_tensors": twins})
        for name in ("gradient", "gradient.positive")
    }
    made = whole(stage(refined)).memory
    assert made is not None
    assert figures_of_record(made, []).tensors == {
        "all/gradient.positive": [
            TensorGroup("activations", "addmm float32 2x2", 16, 2),
            TensorGroup("workspace", "?", 4, 1),
        ]
    }


def test_records_without_lists_per_phase_have_those_of_the_stage() -> None:
    bare = {name: each.model_copy(update={"peak_tensors": []}) for name, each in phases().items()}
    listed = tensors(("mm float32 10x64", 4_000, "gradients"))
    made = whole(stage(bare, peak_tensors=listed)).memory
    assert made is not None
    assert list(figures_of_record(made, []).tensors) == ["all"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, KEY),
        ({"epochs": 20, "evaluate_every": 5}, KEY),
        ({"seed": 3}, f"{KEY} seed=3"),
        ({"shuffle": False}, f"{KEY} unshuffled"),
        ({"train_samples": 100}, "backprop mlp-64-10 digits[:100] b32"),
        ({"standardise": True}, "backprop mlp-64-10 digits standardised b32"),
        ({"options": {"b": True, "a": 1}}, "backprop[a=1,b=true] mlp-64-10 digits b32"),
    ],
)
def test_what_bytes_depend_on_is_in_the_name(changes: dict[str, Any], key: str) -> None:
    assert key_of(workload(**changes)) == key


# ---- reading -------------------------------------------------------------------------------------


def test_a_run_is_read_to_its_last_whole_record(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [whole(), failed(batch_size=8)])
    with (run / "records.jsonl").open("a") as stream:
        stream.write('{"cut off')
    found = read_run(run)
    made = whole().memory
    assert made is not None
    assert found.figures == {KEY: figures_of_record(made, whole().operations)}
    assert list(found.invalid) == [KEY.replace("b32", "b8")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", r"holds no records; measure some with: trainfit run SUITE --out DIR"),
        ("{}\n", r"records.jsonl:1: not a record"),
        ("nonsense\n", r"records.jsonl:1: not a record"),
    ],
)
def test_a_run_that_cannot_be_gated_says_why(tmp_path: Path, lines: str, message: str) -> None:
    run = write_run(tmp_path / "run", [])
    (run / "records.jsonl").write_text(lines)
    with pytest.raises(RunFolderError, match=message):
        read_run(run)


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_run(tmp_path)


def of_version(record: Record, version: str) -> Record:
    return record.model_copy(update={"schema_": version})


def test_mixed_and_unknown_versions_are_refused(tmp_path: Path) -> None:
    old = of_version(whole(), "trainfit.record/1")
    run = write_run(tmp_path / "mixed", [whole(), whole(batch_size=8), old])
    with pytest.raises(
        RunFolderError, match=r"mixes versions .*1 of trainfit.record/1, 2 of train"
    ):
        read_run(run)
    run = write_run(tmp_path / "new", [of_version(whole(), "trainfit.record/99")])
    with pytest.raises(RunFolderError, match=r"records.jsonl:1: .*trainfit.record/1"):
        read_run(run)


# ---- valid ---------------------------------------------------------------------------------------


def test_records_that_are_not_valid_say_why(tmp_path: Path) -> None:
    unsteady = stage(deterministic=False)
    records = [
        whole(),
        failed(batch_size=1),
        whole(batch_size=2, memory=None),
        whole(unsteady, batch_size=3),
        whole(batch_size=4),
        whole(stage(phases(weight=5_000)), batch_size=4),
        whole(batch_size=5),
        whole(workload=workload(batch_size=5, epochs=7)),
    ]
    measured = read_run(write_run(tmp_path / "run", records))

    assert sorted(measured.figures) == [KEY, KEY.replace("b32", "b5")]
    reasons = {key.rpartition(" ")[2]: reason for key, reason in measured.invalid.items()}
    assert reasons["b1"] == "it ended as failed: ValueError: no [red]luck[/red]"
    assert "memory was not measured" in reasons["b2"]
    assert "not deterministic at stage all" in reasons["b3"]
    assert "two records of it in this run have different bytes" in reasons["b4"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([whole(memory=None)], r"no record has bytes; .* run a suite that measures memory"),
        ([failed()], "no record has bytes; it ended as failed"),
        (
            [whole(), whole(batch_size=1, memory=memory(evidence=Evidence.EMULATED))],
            r"mixes ways of measuring bytes \(allocator, emulated\)",
        ),
    ],
)
def test_a_run_without_bytes_is_wrong_input(
    tmp_path: Path, records: list[Record], message: str
) -> None:
    with pytest.raises(RunFolderError, match=message):
        read_run(write_run(tmp_path / "run", records))


# ---- comparable ----------------------------------------------------------------------------------


def environment(torch: Any = "2.13.0+cpu", **versions: Any) -> dict[str, Any]:
    return ENVIRONMENT | {"versions": ENVIRONMENT["versions"] | versions | {"torch": torch}}


def gated(
    tmp_path: Path,
    record: Record,
    *,
    file: Path | None = None,
    torch: str = "2.13.0+cpu",
    **versions: str,
) -> GateResult:
    """The result for a run of one record and a golden, that of the builders if there is none."""
    file = file or tmp_path / "g.json"
    if not file.exists():
        write_golden(file, golden())
    made = environment(torch, **versions)
    return gate_run(write_run(tmp_path / "run", [record], environment=made), file)


@pytest.mark.parametrize("torch", ["2.13.0+cpu", "2.13.0+cu130", "2.13.0"])
def test_builds_of_one_torch_share_their_goldens(tmp_path: Path, torch: str) -> None:
    assert gated(tmp_path, whole(), torch=torch).exit_code == 0


@pytest.mark.parametrize(
    ("listed", "said"),
    [("2.13.0", "2.13.0"), (("2.12.0", "2.13.0"), "2.12.0 or 2.13.0")],
)
def test_a_torch_that_is_not_listed_is_not_comparable(
    tmp_path: Path, listed: str | tuple[str, ...], said: str
) -> None:
    write_golden(tmp_path / "g.json", golden(torch=listed))
    hungry = whole(stage(phases(weight=9_000)))
    result = gated(tmp_path, hungry, torch="2.14.1")
    assert (result.exit_code, result.findings) == (3, ())
    assert result.incomparable == [
        f"torch differs: the golden was made with {said}, the run with 2.14.1"
    ]


@pytest.mark.parametrize("torch", ["2.13.0+cpu", "2.14.1+cu130"])
def test_every_torch_that_is_listed_is_gated(tmp_path: Path, torch: str) -> None:
    write_golden(tmp_path / "g.json", golden(torch=("2.13.0", "2.14.1")))
    hungry = whole(stage(phases(weight=9_000)))
    assert gated(tmp_path / "1", whole(), file=tmp_path / "g.json", torch=torch).exit_code == 0
    assert gated(tmp_path / "2", hungry, file=tmp_path / "g.json", torch=torch).exit_code == 1


def test_bytes_of_another_kind_are_not_comparable(tmp_path: Path) -> None:
    made = whole()
    assert made.memory is not None
    emulated = made.memory.model_copy(update={"evidence": Evidence.EMULATED})
    result = gated(tmp_path, made.model_copy(update={"memory": emulated}))
    assert result.exit_code == 3
    assert "allocator, the run with emulated" in result.incomparable[0]


def test_an_environment_without_torch_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not say which torch"):
        read_run(write_run(tmp_path / "run", [whole()], environment=environment(None)))


def test_what_should_not_matter_is_noted_beside_a_difference(tmp_path: Path) -> None:
    update_from_run(write_run(tmp_path / "first", [whole()]), tmp_path / "g.json")
    assert not gated(tmp_path / "same", whole(), file=tmp_path / "g.json", numpy="3.0.0").notes
    result = gated(tmp_path, whole(macs=1), numpy="3.0.0")
    assert result.notes == ["numpy: golden 2.4.6, run 3.0.0"]


def test_older_records_are_not_comparable_and_newer_metrics_are_a_warning(tmp_path: Path) -> None:
    old, file = of_version(whole(), "trainfit.record/2"), tmp_path / "g.json"
    update_from_run(write_run(tmp_path / "new", [whole()]), file)
    result = gate_run(write_run(tmp_path / "old", [old]), file)
    assert result.exit_code == 3
    assert f"older (trainfit.record/2) than those of the golden ({SCHEMA})" in str(
        result.incomparable
    )

    bounds = {name: {"device_bytes": None} for name in phases()}
    bare = {name: each.model_copy(update=bounds[name]) for name, each in phases().items()}
    version_2 = of_version(whole(stage(bare)), "trainfit.record/2")
    update_from_run(write_run(tmp_path / "bare", [version_2]), tmp_path / "old.json")
    result = gate_run(tmp_path / "new", tmp_path / "old.json")
    assert result.exit_code == 0
    assert {(each.metric, each.severity.value) for each in result.findings} == {
        (f"all/{name}/device_bytes", "warn") for name in phases()
    }


def test_a_rule_about_nothing_is_noted(tmp_path: Path) -> None:
    slips = (
        {"metric": "peak_dynamc_bytes", "unit": "B", "why": "a slip"},
        {"metric": "peak_bytes", "unit": "count", "why": "a slip"},
        {"metric": "peak_bytes", "unit": "B", "why": "good"},
        {"metric": "workload", "unit": "text", "missing": "warn", "why": "good"},
    )
    write_golden(tmp_path / "g.json", golden(*slips))
    notes = gated(tmp_path, whole()).notes
    assert [note.partition(" is about")[0] for note in notes] == [
        "rule 1 ('peak_dynamc_bytes' in B)",
        "rule 2 ('peak_bytes' in count)",
    ]


# ---- update --------------------------------------------------------------------------------------


def test_update_accepts_a_difference_and_keeps_rules(tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    write_golden(file, golden({"metric": "macs.*", "unit": "count", "why": "x"}))
    hungry = write_run(tmp_path / "hungry", [whole(stage(phases(weight=8_000)))])
    assert gate_run(hungry, file).exit_code == 1

    update = update_from_run(hungry, file)

    assert (update.changed, update.added, update.same) == ([KEY], [], 0)
    assert update.result.failures
    assert gate_run(hungry, file).exit_code == 0
    assert len(read_golden(file).rules) == 1


def test_update_adds_and_keeps_and_prunes(tmp_path: Path) -> None:
    file, small = tmp_path / "g.json", KEY.replace("b32", "b8")
    first = update_from_run(write_run(tmp_path / "one", [whole()]), file)
    assert (first.added, first.rebased) == ([KEY], [])
    other = write_run(tmp_path / "other", [whole(batch_size=8)])

    update = update_from_run(other, file)
    assert (update.added, update.kept, update.same) == ([small], [KEY], 0)
    assert sorted(read_golden(file).workloads) == [KEY, small]

    update = update_from_run(other, file, prune=True)
    assert (update.removed, update.kept, update.same) == ([KEY], [], 1)
    assert sorted(read_golden(file).workloads) == [small]


def test_a_golden_of_another_torch_is_updated_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    update_from_run(write_run(tmp_path / "old", [whole(), whole(batch_size=8)]), file)
    before = file.read_text()
    newer = environment("2.14.0")
    part = write_run(tmp_path / "part", [whole()], environment=newer)
    with pytest.raises(GoldenError, match=r"torch differs.* 1 of its workloads .*--prune"):
        update_from_run(part, file)
    assert file.read_text() == before

    others = [whole(stage(phases(weight=8_000))), whole(batch_size=8)]
    update = update_from_run(write_run(tmp_path / "full", others, environment=newer), file)
    assert update.rebased == ["torch differs: the golden was made with 2.13.0, the run with 2.14.0"]
    assert read_golden(file).conditions.torch == "2.14.0"


def test_a_torch_that_needs_the_same_bytes_is_added(tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    update_from_run(write_run(tmp_path / "old", [whole(), whole(batch_size=8)]), file)
    figures_before = read_golden(file).workloads

    newer = write_run(
        tmp_path / "new", [whole(), whole(batch_size=8)], environment=environment("2.14.1")
    )
    update = update_from_run(newer, file)

    assert (update.rebased, update.torch, update.same) == ([], ("2.13.0", "2.14.1"), 2)
    assert read_golden(file).conditions.torch == ("2.13.0", "2.14.1")
    assert read_golden(file).workloads == figures_before
    for run in ("old", "new"):
        assert gate_run(tmp_path / run, file).exit_code == 0


@pytest.mark.parametrize(
    ("record", "holds_for"),
    [
        (whole(), ("2.13.0", "2.14.1")),
        (whole(stage(phases(weight=8_000))), ("2.14.1",)),
        (whole(batch_size=8), ("2.14.1",)),
    ],
    ids=["equal", "changed", "new"],
)
def test_a_figure_of_one_torch_is_no_figure_of_another(
    tmp_path: Path, record: Record, holds_for: tuple[str, ...]
) -> None:
    write_golden(tmp_path / "g.json", golden(torch=("2.13.0", "2.14.1")))
    run = write_run(tmp_path / "run", [record], environment=environment("2.14.1"))
    update = update_from_run(run, tmp_path / "g.json")
    assert update.torch == holds_for
    assert update.dropped == (["2.13.0"] if len(holds_for) == 1 else [])
    assert read_golden(tmp_path / "g.json").conditions.torch_versions == holds_for


def test_update_takes_valid_records_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [whole(), failed(batch_size=8)])
    with pytest.raises(GoldenError, match=r"nothing was written; 1 is not, first .* b8: it ended"):
        update_from_run(run, tmp_path / "g.json")
    assert not (tmp_path / "g.json").exists()


def test_a_golden_of_records_of_version_4_is_read_with_todays_names(tmp_path: Path) -> None:
    file, run = tmp_path / "g.json", write_run(tmp_path / "run", [whole()])
    update_from_run(run, file)
    text = file.read_text(encoding="utf-8")
    for then, now in RENAMED.items():
        assert f'"{now}"' in text
        text = text.replace(f'"{now}"', f'"{then}"')
    rule = {"metric": "all/closed_form_bytes", "unit": "B", "absolute": 5, "why": "a while ago"}
    text = text.replace('"rules": []', f'"rules": [{json.dumps(rule)}]')
    file.write_text(text, encoding="utf-8")

    assert not gate_run(run, file).findings
    assert read_golden(file).rules[0].metric == "all/predicted_bytes"
