"""Every reader of trainfit with good inputs to begin from, and how they are mutated."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from tests.builders.gate import ENVIRONMENT, KEY, entry, whole
from tests.builders.runs import failed
from tests.fuzz import mutations
from tests.unit.data.test_cifar import FILES, FOLDERS, KEYS, pixels, python2
from tests.unit.data.test_datasets import write_idx

PROFILE = Path(__file__).parents[2] / "hardware_profiles" / "stm32f407.toml"
SUITE = """name = "small"
description = "tiny"
devices = ["stm32f746", "apollo4-plus"]
timeout_seconds = 60
memory_limit_mib = 2048
threads = 1
measure = ["memory", "accuracy"]
sensor = "none"
subtract_idle = false
host = "stm32f746"
[budgets]
ram = "96 KiB"
step_latency = "50 ms"
[defaults]
model = "mlp-64-16-10"
dataset = "digits"
batch_size = 8
[[workload]]
algorithm = ["backprop", "pepita"]
options = { lr = 0.01 }
seed = [0, 1]
[[workload]]
algorithm = "local_head"
model = ["mlp-64-16-10", "mlp-64-32x2-10"]
batch_size = [8, 32]
epochs = 2
train_samples = 100
standardise = true
"""


class Reader:
    """One reader.

    Attributes:
        share: Of all inputs, in parts of the sum over all readers.
    """

    share = 1.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prepare()

    def prepare(self) -> None:
        """What lies beside the input."""

    def mutated(self, rng: Random) -> Any:
        """An input."""
        raise NotImplementedError

    def read(self, given: Any) -> None:
        """Read it as trainfit does."""
        raise NotImplementedError

    def write(self, name: str, content: bytes | str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        file.write_bytes(data)
        return file


class SuiteReader(Reader):
    """``trainfit run SUITE``, up to what is checked with torch."""

    share = 2

    def mutated(self, rng: Random) -> bytes:
        return mutations.toml(rng, SUITE)

    def read(self, given: bytes) -> None:
        from trainfit.bench.suite.manifest import load_devices, to_manifest
        from trainfit.bench.suite.suite import load_suite

        suite = load_suite(str(self.write("s.toml", given)))
        json.dumps(to_manifest(suite, load_devices(suite)))
        [each.label for each in suite.workloads]


class DeviceReader(Reader):
    share = 2

    def mutated(self, rng: Random) -> bytes:
        return mutations.toml(rng, PROFILE.read_text("utf-8"))

    def read(self, given: bytes) -> None:
        from trainfit.hardware_profiles import load_device

        load_device(str(self.write(PROFILE.name, given))).describe()


class BudgetReader(Reader):
    def mutated(self, rng: Random) -> str:
        good = ("ram=96KiB", "flash=1 MiB", "step_latency=50ms", "energy_per_step=1e-3 J",
                "battery=1000mWh", "training_samples=60000")  # fmt: skip
        return mutations.line(rng, rng.choice(good))

    def read(self, given: str) -> None:
        from trainfit.bench.cli.options import asked_budgets, budget_table

        asked_budgets([given])
        budget_table([given])


class WorkloadReader(Reader):
    share = 2

    def mutated(self, rng: Random) -> str:
        good = ("backprop[optimizer=adam,lr=0.01] mlp-64-16-10 digits b32", "pepita b8",
                "tinyfoa[slices=2] mlp-784-64x2-10 mnist[:500] standardised b1")  # fmt: skip
        return mutations.line(rng, rng.choice(good))

    def read(self, given: str) -> None:
        from trainfit.bench.suite.workload_text import parse_workload

        found = parse_workload(given, model="mlp-64-10", dataset="digits", batch_size=8)
        assert found.label.isprintable()


class OptionReader(Reader):
    def mutated(self, rng: Random) -> str:
        good = ("optimizer=adam", "lr=0.01", "momentum=0.9", "decay=cosine", "weights=binary")
        return mutations.line(rng, rng.choice(good))

    def read(self, given: str) -> None:
        from trainfit.algorithms import get_algorithm
        from trainfit.algorithms.contract import parse_options as checked
        from trainfit.bench.suite.workload_text import parse_options

        found = parse_options([given], algorithm="backprop")
        checked(get_algorithm("backprop"), found)


class ModelReader(Reader):
    share = 2

    def mutated(self, rng: Random) -> str:
        good = ("mlp-784-2000x4-10", "mlp-64-16-10", "lc-1x28x28-16-32-64x2-10", "lc-16-32",
                "mlp-1x1-9999999x999-10")  # fmt: skip
        return mutations.line(rng, rng.choice(good))

    def read(self, given: str) -> None:
        from trainfit._text import layer_sizes
        from trainfit.algorithms.models import complete_name, get_model

        layer_sizes(given)
        get_model(complete_name(given, (1, 8, 8), 10)).parameters  # noqa: B018


class DatasetReader(Reader):
    def mutated(self, rng: Random) -> str:
        good = ("synthetic-784-10", "synthetic-200000-2000", "digits", "mnist", "mitbih-intra")
        return mutations.line(rng, rng.choice(good))

    def read(self, given: str) -> None:
        from trainfit.algorithms.data import features_and_classes

        features_and_classes(given)


class RunReader(Reader):
    """A run folder of which one file is wrong."""

    def prepare(self) -> None:
        from trainfit.bench.suite.manifest import load_devices, to_manifest
        from trainfit.bench.suite.suite import parse_suite

        suite = parse_suite(SUITE, source="s.toml", folder=Path())
        self.suite = to_manifest(suite, load_devices(suite))
        self.records = [
            json.loads(each.model_dump_json(by_alias=True)) for each in (whole(), failed())
        ]
        workload = self.records[0]["workload"]
        self.timeline = {
            "schema": "trainfit.timeline/1", "workload": workload, "stage": "all", "events": 3,
            "index": [0, 1, 3], "phase": ["forward", "forward", "update"],
            "bytes": {"activations": [0, 5, 0]},
        }  # fmt: skip
        self.environment = {**ENVIRONMENT, "git": {"commit": "a" * 40, "dirty": False}}
        self.restore()

    def restore(self) -> None:
        self.write("records.jsonl", "".join(f"{json.dumps(each)}\n" for each in self.records))
        self.write("timelines.jsonl", json.dumps(self.timeline) + "\n")
        self.write("suite.json", json.dumps(self.suite))
        self.write("environment.json", json.dumps(self.environment))

    def document(self, rng: Random, good: Any) -> bytes:
        if rng.random() < 0.35:
            return mutations.bytewise(rng, json.dumps(good).encode())
        return mutations.tree(rng, good).encode("utf-8", "surrogatepass")


class RecordReader(RunReader):
    share = 4

    def mutated(self, rng: Random) -> bytes:
        return self.document(rng, rng.choice(self.records)) + b"\n"

    def read(self, given: bytes) -> None:
        from trainfit.bench.cli.output import Output
        from trainfit.bench.cli.reports.run import figures
        from trainfit.bench.frames.sources import load_source
        from trainfit.bench.gate.run import read_run
        from trainfit.bench.records.reading import read_records

        self.write("records.jsonl", json.dumps(self.records[0]).encode() + b"\n" + given)
        records = read_records(self.folder)
        for source in ("records", "values", "curves", "gradients", "noise", "verdicts", "costs"):
            load_source([self.folder], source)
        shown = io.StringIO()
        with redirect_stdout(shown):
            Output().show(*figures(records, 100))
        refuse_commands(shown.getvalue())
        read_run(self.folder)


class TimelineReader(RunReader):
    def mutated(self, rng: Random) -> bytes:
        return self.document(rng, self.timeline) + b"\n"

    def read(self, given: bytes) -> None:
        from trainfit.bench.frames.sources import load_source

        self.write("timelines.jsonl", given)
        load_source([self.folder], "timelines")


class EnvironmentReader(RunReader):
    def mutated(self, rng: Random) -> bytes:
        return self.document(rng, self.environment)

    def read(self, given: bytes) -> None:
        from trainfit.bench.gate.run import read_run
        from trainfit.bench.papers.paper import _runs

        self.write("environment.json", given)
        list(_runs([self.folder]))
        read_run(self.folder)


class ManifestReader(RunReader):
    share = 2

    def mutated(self, rng: Random) -> bytes:
        return self.document(rng, self.suite)

    def read(self, given: bytes) -> None:
        from trainfit.bench.frames.sources import load_source
        from trainfit.bench.records.reading import read_suite
        from trainfit.bench.suite.manifest import from_manifest, load_devices

        self.write("suite.json", given)
        load_source([self.folder], "verdicts")
        load_devices(from_manifest(read_suite(self.folder), source="suite.json"))


class GoldenReader(RunReader):
    share = 3

    def prepare(self) -> None:
        super().prepare()
        rule = {"metric": "*/peak_bytes", "unit": "B", "percent": 2.0, "why": "tuned"}
        self.golden = {
            "schema": "trainfit.golden/1",
            "conditions": {"torch": ["2.13.0"], "evidence": "allocator", "threads": 1},
            "made_with": {"trainfit": "0.1.0"},
            "rules": [rule | {"workload": "tinyfoa*", "direction": "smaller"}],
            "workloads": {KEY: json.loads(entry().model_dump_json())},
        }
        self.write("records.jsonl", json.dumps(self.records[0]) + "\n")

    def mutated(self, rng: Random) -> bytes:
        return self.document(rng, self.golden)

    def read(self, given: bytes) -> None:
        from trainfit.bench.cli.gate_output import _show
        from trainfit.bench.gate import report
        from trainfit.bench.gate.golden import golden_text, read_golden, to_text
        from trainfit.bench.gate.run import gate, read_run

        file = self.write("g.json", given)
        golden = read_golden(file)
        result = gate(golden, read_run(self.folder))
        to_text(golden)
        report.junit(result)
        report.markdown(result, title="a against b")
        for line in report.github(result, file="g.json", text=golden_text(file)):
            assert line.isprintable()
            assert line.startswith("::")
        shown = io.StringIO()
        with redirect_stdout(shown):
            _show(result, "remedy")
        refuse_commands(shown.getvalue())


class BenchmarkReader(Reader):
    share = 2

    def mutated(self, rng: Random) -> bytes:
        step = {
            "deterministic": True,
            "ram_bytes": 5,
            "entry": json.loads(entry().model_dump_json()),
        }
        recorded = {"schema": "trainfit.benchmark/1", "torch": "2.13.0", "steps": {"": step}}
        good = {"benchmarks": [{"fullname": "t.py::a", "extra_info": {"trainfit": recorded}}]}
        if rng.random() < 0.35:
            return mutations.bytewise(rng, json.dumps(good).encode())
        return mutations.tree(rng, good).encode("utf-8", "surrogatepass")

    def read(self, given: bytes) -> None:
        from trainfit.bench.testing.benchmark_bridge import read_benchmarks

        read_benchmarks(self.write("b.json", given))


class IdxReader(Reader):
    def prepare(self) -> None:
        self.files = {
            file.name: file.read_bytes()
            for file in write_idx(self.folder / "MNIST/raw", packed=True).iterdir()
        }

    def mutated(self, rng: Random) -> tuple[str, bytes]:
        name = rng.choice(sorted(self.files))
        if rng.random() < 0.5:
            plain = gzip.decompress(self.files[name])
            head = mutations.bytewise(rng, plain[:20]) + plain[20:]
            return name, gzip.compress(head, mtime=0)
        return name, mutations.bytewise(rng, self.files[name])

    def read(self, given: tuple[str, bytes]) -> None:
        from trainfit.algorithms.data import load_dataset

        name, content = given
        self.write(f"MNIST/raw/{name}", content)
        try:
            load_dataset("mnist", self.folder)
        finally:
            self.write(f"MNIST/raw/{name}", self.files[name])


class CifarReader(Reader):
    def prepare(self) -> None:
        self.good = python2([1, 9], pixels(2), KEYS["cifar100"])
        for name in FILES["cifar100"]:
            self.write(f"{FOLDERS['cifar100']}/{name}", self.good)

    def mutated(self, rng: Random) -> bytes:
        if rng.random() < 0.7:  # where its structure is, not among the pixels
            head = self.good[:220]
            return mutations.bytewise(rng, head) + self.good[220:]
        return mutations.bytewise(rng, self.good)

    def read(self, given: bytes) -> None:
        from trainfit.algorithms.data import load_dataset

        self.write(f"{FOLDERS['cifar100']}/train", given)
        load_dataset("cifar100", self.folder)


class WfdbReader(Reader):
    share = 0.5

    def prepare(self) -> None:
        from tests.unit.data.test_mitbih import ALL_CLASSES, write_record

        self.at = write_record(self.folder, "100", ALL_CLASSES)
        self.files = {
            ending: self.at.with_suffix(f".{ending}").read_bytes() for ending in ("hea", "atr")
        }

    def mutated(self, rng: Random) -> tuple[str, bytes]:
        ending = rng.choice(("hea", "hea", "atr"))
        return ending, mutations.bytewise(rng, self.files[ending])

    def read(self, given: tuple[str, bytes]) -> None:
        from trainfit.algorithms.data.wfdb_records import read_record, require_wfdb

        for name, content in (*self.files.items(), given):
            self.at.with_suffix(f".{name}").write_bytes(content)
        read_record(require_wfdb("mitbih"), self.at.parent, "100", "MLII", "NLRej")


class RecordingReader(Reader):
    def mutated(self, rng: Random) -> bytes:
        rows = "".join(f"{n / 10},{1.5 + n / 100},0.5\n" for n in range(20))
        return mutations.bytewise(rng, f"seconds,VDD_IN,VDD_SOC\n{rows}".encode())

    def read(self, given: bytes) -> None:
        from trainfit.bench.sensors.replay import ReplaySensor

        ReplaySensor(self.write("r.csv", given)).read()


class BoardReader(Reader):
    """Power monitors of a board: what they say may be anything, and never is an error."""

    def prepare(self) -> None:
        from tests.fakes.boards import jetson_agx_orin

        jetson_agx_orin(self.folder)
        self.files = {
            file: file.read_bytes()
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and not file.is_symlink()
        }

    def mutated(self, rng: Random) -> tuple[Path, bytes]:
        file = rng.choice(list(self.files))
        return file, mutations.bytewise(rng, self.files[file])

    def read(self, given: tuple[Path, bytes]) -> None:
        from trainfit.bench.sensors.base import Unavailable
        from trainfit.bench.sensors.jetson import open_jetson

        file, content = given
        file.write_bytes(content)
        try:
            found = open_jetson(self.folder)
            if not isinstance(found, Unavailable):
                found.read()
        finally:
            file.write_bytes(self.files[file])


class CommandReader(Reader):
    """Whole command lines of commands that are quick, in this process."""

    share = 0.5

    def mutated(self, rng: Random) -> list[str]:
        good = (
            "devices show stm32f746", "suites --json", "sensors", "gate runs --golden g.json",
            "fit --device stm32f407 --algorithm backprop --model mlp-64-8-10 --no-measure"
            " --batch-size 8 --option lr=0.1 --budget ram=96KiB",
            "claims --from runs", "plot runs --out figures", "gate-benchmark b.json --golden g",
            "recommend --device stm32f407 --dataset digits --from runs --min-accuracy 0.5",
            "compare backprop pepita --model mlp-64-8-10 --dataset digits --batch-size 8",
        )  # fmt: skip
        words = rng.choice(good).split()
        at = rng.randrange(len(words))
        words[at] = mutations.line(rng, words[at])
        return words

    def read(self, given: list[str]) -> None:
        from trainfit.bench.cli.main import main

        code: Any = 0
        shown, complaints = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(shown), redirect_stderr(complaints):
            try:
                main(given)
            except SystemExit as left:
                code = left.code
        said = complaints.getvalue()
        assert code in (0, 1, 2), f"exit code {code}: {said[:500]}"
        assert code != 2 or said.count("\n") == 1, said[:500]
        refuse_commands(shown.getvalue() + said)


def refuse_commands(printed: str) -> None:
    """Nothing that was printed is a command to a terminal or to GitHub."""
    assert "##[" not in printed
    for line in printed.split("\n"):
        assert not line.lstrip().startswith("::"), line[:200]
        assert all(letter.isprintable() or letter in "\u200c\u200d\xa0" for letter in line), repr(
            line
        )[:300]


READERS: tuple[Callable[[Path], Reader], ...] = (
    SuiteReader, DeviceReader, BudgetReader, WorkloadReader, OptionReader, ModelReader,
    DatasetReader, RecordReader, TimelineReader, EnvironmentReader, ManifestReader, GoldenReader,
    BenchmarkReader, IdxReader, CifarReader, WfdbReader, RecordingReader, BoardReader,
    CommandReader,
)  # fmt: skip
