from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.builders.runs import suite
from trainfit._text import nearest
from trainfit.bench.errors import SuiteError
from trainfit.bench.suite.manifest import device_digest, from_manifest, load_devices, to_manifest
from trainfit.bench.suite.suite import load_suite, parse_suite, suite_names, with_algorithms
from trainfit.hardware_profiles import Budgets, ProfileError, load_device

HEAD = 'name = "s"\n'
DEFAULTS = '[defaults]\nmodel = "mlp-64-10"\ndataset = "digits"\nbatch_size = 32\n'
ONE = '[[workload]]\nalgorithm = "backprop"\n'


def parse(text: str) -> object:
    return parse_suite(text, source="s.toml", folder=Path("boards"))


def test_defaults_fill_what_a_workload_leaves_out() -> None:
    made = parse_suite(
        HEAD + DEFAULTS + ONE + "batch_size = 8\nepochs = 3\n", source="s.toml", folder=Path()
    )

    (workload,) = made.workloads
    assert (workload.model, workload.dataset, workload.batch_size) == ("mlp-64-10", "digits", 8)
    assert (workload.epochs, workload.seed, workload.options) == (3, 0, {})
    assert (made.timeout_seconds, made.threads, made.memory_limit_mib) == (600, 1, None)
    assert made.devices is None


def test_what_looks_into_the_trained_net_has_to_be_named() -> None:
    plain = parse_suite(HEAD + DEFAULTS + ONE, source="s.toml", folder=Path())
    named = 'measure = ["gradients", "noise"]\n'
    probing = parse_suite(HEAD + named + DEFAULTS + ONE, source="s.toml", folder=Path())

    assert plain.measure == ["memory", "latency", "energy", "accuracy"]
    assert probing.measure == ["gradients", "noise"]


def test_lists_expand_to_their_product_in_the_order_written() -> None:
    text = (
        HEAD + DEFAULTS + '[[workload]]\nalgorithm = ["a", "b"]\nbatch_size = [1, 2]\nseed = [5]\n'
    )

    made = parse_suite(text, source="s.toml", folder=Path())

    found = [(w.algorithm, w.batch_size, w.seed) for w in made.workloads]
    assert found == [("a", 1, 5), ("a", 2, 5), ("b", 1, 5), ("b", 2, 5)]


def test_device_files_are_relative_to_the_suite() -> None:
    text = 'devices = ["stm32f407", "ours.toml"]\n' + HEAD + DEFAULTS + ONE

    made = parse_suite(text, source="s.toml", folder=Path("boards"))

    assert made.devices == ["stm32f407", "boards/ours.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "s.toml: not valid TOML: Invalid value (at end of document)"),
        (HEAD, "s.toml: workload: is missing"),
        (HEAD + "workload = 3", "s.toml: workload: must be a list, got 3"),
        (HEAD + "workload = []", "s.toml: workload: must not be empty"),
        (HEAD + "workload = [3]", "s.toml: workload[1]: must be a table, got 3"),
        (
            'name = "my suite"\n' + DEFAULTS + ONE,
            "s.toml: name: must be made of letters, digits, '.', '_' and '-', got 'my suite'",
        ),
        (
            HEAD + DEFAULTS + ONE + ONE.replace("backprop", "x") + "batch_size = 0",
            "s.toml: workload[2].batch_size: must be at least 1, got 0",
        ),
        (
            HEAD + DEFAULTS + ONE + "batch_size = [8, 0]",
            "s.toml: workload[1].batch_size[2]: must be at least 1, got 0",
        ),
        (
            HEAD + DEFAULTS + ONE + "batch_size = []",
            "s.toml: workload[1].batch_size: must not be empty",
        ),
        (
            HEAD + DEFAULTS + ONE + 'batch_size = "8"',
            "s.toml: workload[1].batch_size: must be a whole number, got '8'",
        ),
        (
            HEAD + DEFAULTS + ONE + "seed = true",
            "s.toml: workload[1].seed: must be a whole number, got True",
        ),
        (
            HEAD + DEFAULTS + ONE + "options = 3",
            "s.toml: workload[1].options: must be a table, got 3",
        ),
        (
            HEAD + DEFAULTS + ONE + "epoch = 3",
            "s.toml: workload[1]: unknown key 'epoch'; did you mean epochs?",
        ),
        (
            HEAD + DEFAULTS + '[[workload]]\nalgorthm = "x"',
            "s.toml: workload[1]: unknown key 'algorthm'; did you mean algorithm?",
        ),
        (
            HEAD + DEFAULTS + "sed = 1\n" + ONE,
            "s.toml: defaults: unknown key 'sed'; did you mean seed?",
        ),
        (
            HEAD + "devises = 1\n" + DEFAULTS + ONE,
            "s.toml: unknown key 'devises'; did you mean devices?",
        ),
        (
            HEAD + 'devices = "some"\n' + DEFAULTS + ONE,
            "s.toml: devices: must be \"all\" or a list of names and paths, got 'some'",
        ),
        (
            HEAD + "timeout_seconds = 0\n" + DEFAULTS + ONE,
            "s.toml: timeout_seconds: must be more than 0.0, got 0",
        ),
        (
            HEAD + "timeout_seconds = inf\n" + DEFAULTS + ONE,
            "s.toml: timeout_seconds: must be at most 1000000.0, got inf",
        ),
        (
            HEAD + ONE,
            "s.toml: workload[1].model: is missing; set it here or under [defaults]",
        ),
        (
            HEAD + DEFAULTS + ONE + ONE,
            "s.toml: workload 2 is workload 1 again (backprop mlp-64-10 digits b32, seed 0); "
            "leave one out or change its options",
        ),
        (
            HEAD + "sensor = 3\n" + DEFAULTS + ONE,
            "s.toml: sensor: must be text in quotes, got 3",
        ),
        (
            HEAD + 'sensor = "rapll"\n' + DEFAULTS + ONE,
            "s.toml: sensor: there is no sensor 'rapll'; did you mean rapl?",
        ),
        (
            HEAD + 'subtract_idle = "yes"\n' + DEFAULTS + ONE,
            "s.toml: subtract_idle: must be true or false, got 'yes'",
        ),
        (
            HEAD + "host = 3\n" + DEFAULTS + ONE,
            "s.toml: host: must be text in quotes, got 3",
        ),
        (
            HEAD + 'measure = ["memory", "power"]\n' + DEFAULTS + ONE,
            "s.toml: measure[2]: must be 'memory', 'latency', 'energy', 'accuracy', 'gradients' or"
            " 'noise', got 'power'",
        ),
        (
            HEAD + "budgets = 3\n" + DEFAULTS + ONE,
            "s.toml: budgets: must be a table, got 3",
        ),
        (
            HEAD + "[budgets]\nstep_latency = 50\n" + DEFAULTS + ONE,
            's.toml: budgets.step_latency: 50 has no unit; write text such as "50 ms"'
            " (units: s, ms, us)",
        ),
        (
            HEAD + '[budgets]\nlatency = "50 ms"\n' + DEFAULTS + ONE,
            "s.toml: budgets: unknown key 'latency'; did you mean step_latency or battery?",
        ),
        (
            HEAD + '[budgets]\nbattery = "1 Wh"\n' + DEFAULTS + ONE,
            "s.toml: budgets: battery without training_samples: a battery is compared with the"
            ' energy of a whole training; write both, such as battery = "1000 mWh" and'
            " training_samples = 60000, or neither",
        ),
    ],
)
def test_a_malformed_suite_says_file_key_and_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        parse(text)

    assert str(error.value) == message


def test_time_energy_and_budgets_of_a_suite() -> None:
    text = (
        'sensor = "replay:a.csv"\nsubtract_idle = true\nhost = "board"\n'
        + HEAD
        + '[budgets]\nram = "96 KiB"\nstep_latency = "50 ms"\nenergy_per_step = "2 mJ"\n'
        + 'battery = "1000 mWh"\ntraining_samples = 60000\n'
        + DEFAULTS
        + ONE
    )

    made = parse_suite(text, source="s.toml", folder=Path())

    assert (made.sensor, made.subtract_idle, made.host) == ("replay:a.csv", True, "board")
    limits = made.limits
    assert (limits.ram_bytes, limits.step_latency_seconds) == (98_304, 0.05)
    assert (limits.energy_per_step_joules, limits.battery_joules) == (0.002, 3_600)
    assert limits.training_samples == 60_000


def test_without_them_nothing_is_limited_and_no_device_is_here() -> None:
    made = parse_suite(HEAD + DEFAULTS + ONE, source="s.toml", folder=Path())

    assert (made.sensor, made.subtract_idle, made.host) == ("auto", False, None)
    assert made.limits == Budgets()


def test_packaged_suites_load_and_carry_their_own_name() -> None:
    assert "quick" in suite_names()
    for name in suite_names():
        loaded = load_suite(name)
        assert loaded.name == name
        assert loaded.description


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(SuiteError, match=r"unknown suite 'quik'; did you mean quick\?"):
        load_suite("quik")


def test_a_missing_suite_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"cannot read suite .*none.toml: No such file"):
        load_suite(str(tmp_path / "none.toml"))


def test_a_suite_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(
        SuiteError, match=r"s\.toml: is not UTF-8 but UTF-16; save the file as UTF-8"
    ):
        load_suite(str(tmp_path / "s.toml"))


def test_added_algorithms_take_the_defaults() -> None:
    added = with_algorithms(suite("backprop"), ["mine:Rule"]).workloads[1]

    assert (added.algorithm, added.model, added.batch_size) == ("mine:Rule", "mlp-64-10", 32)


def test_adding_an_algorithm_needs_defaults_and_must_be_new() -> None:
    bare = suite("backprop").model_copy(
        update={"defaults": suite("backprop").defaults.model_copy(update={"model": None})}
    )
    with pytest.raises(SuiteError, match=r"--algorithm mine:Rule\.model: is missing"):
        with_algorithms(bare, ["mine:Rule"])
    with pytest.raises(SuiteError, match="workload 2 is workload 1 again"):
        with_algorithms(suite("backprop"), ["backprop"])


def test_a_manifest_gives_the_same_suite_back() -> None:
    made = suite("backprop", "mine:Rule", timeout_seconds=5.0)

    manifest = to_manifest(made, load_devices(made))
    again = from_manifest(manifest, source="suite.json")

    assert again.workloads == made.workloads
    assert again.devices == ["stm32f407"]
    assert to_manifest(again, load_devices(again)) == manifest


def test_a_manifest_keeps_what_time_and_energy_were_judged_by() -> None:
    made = suite(
        "backprop",
        sensor="rapl",
        subtract_idle=True,
        host="stm32f407",
        budgets={"step_latency": "50 ms", "battery": "1 Wh", "training_samples": 10},
    )

    manifest = to_manifest(made, load_devices(made))
    again = from_manifest(json.loads(json.dumps(manifest)), source="suite.json")

    assert manifest["host"] == "stm32f407"
    assert (again.sensor, again.subtract_idle, again.host) == ("rapl", True, "stm32f407")
    assert again.limits == made.limits
    assert to_manifest(again, load_devices(again)) == manifest


def test_a_manifest_from_before_there_was_energy_is_read() -> None:
    manifest = to_manifest(suite("backprop"), load_devices(suite("backprop")))
    for key in ("sensor", "subtract_idle", "host", "budgets"):
        del manifest[key]

    again = from_manifest(manifest, source="suite.json")

    assert (again.host, again.limits) == (None, Budgets())


def test_a_budget_of_a_device_changes_its_digest() -> None:
    device = load_devices(suite("backprop"))[0]
    limited = device.model_copy(update={"budgets": Budgets.model_validate({"ram": "96 KiB"})})

    digests = [
        to_manifest(suite("backprop"), [d])["devices"][0]["sha256"] for d in (device, limited)
    ]

    assert digests[0] != digests[1]


def test_the_host_is_one_of_the_devices() -> None:
    chosen = suite("backprop", devices=["stm32f407", "rp2040"], host="rp2040")
    assert [device.name for device in load_devices(chosen)] == ["stm32f407", "rp2040"]

    with pytest.raises(SuiteError) as error:
        load_devices(suite("backprop", devices=["stm32f407"], host="rp2040"))
    assert str(error.value) == (
        "suite small: host 'rp2040' is none of its devices; add it to devices"
    )


def test_a_damaged_manifest_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"suite.json: is not the suite of a run"):
        from_manifest({"name": "s"}, source="suite.json")


def test_devices_are_all_or_the_named_ones_each_once() -> None:
    assert len(load_devices(suite("backprop", devices=None))) > 5
    assert [d.name for d in load_devices(suite("backprop", devices=["rp2040"]))] == ["rp2040"]
    with pytest.raises(SuiteError, match="'rp2040' is named twice"):
        load_devices(suite("backprop", devices=["rp2040", "rp2040"]))
    with pytest.raises(ProfileError, match="rp2041"):
        load_devices(suite("backprop", devices=["rp2041"]))


def test_nearest_lists_everything_where_nothing_is_near() -> None:
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"


@pytest.mark.parametrize("name", ["stm32f746", "nrf52840"])
def test_a_figure_that_came_later_leaves_the_digest_of_other_devices_as_it_was(name):
    """A run knows its devices by their digest: of all figures that profiles had at first."""
    device = load_device(name)
    first = device.model_dump_json(exclude={"flash_at_least"})
    assert device_digest(device) == hashlib.sha256(first.encode()).hexdigest()


def test_a_figure_that_is_said_is_in_the_digest():
    device = load_device("jetson-nano")
    assert device.flash_at_least is not None
    without = device.model_copy(update={"flash_at_least": None})
    assert device_digest(device) != device_digest(without)
