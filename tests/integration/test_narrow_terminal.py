"""A terminal of 80 columns: every word that a wide one shows is there, and whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.builders.runs import failed, memory, record
from trainfit.bench.cli import main as cli
from trainfit.bench.cli import output
from trainfit.bench.cli.reports.run import figures, verdicts
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.hardware_profiles import load_device

NARROW, WIDE = 80, 300
RUNS = Path(__file__).parent.parent.parent / "results" / "runs"


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[int, Callable[[], Any]], str]:
    """What something prints to a terminal of so many columns."""

    def shown(width: int, call: Callable[[], Any]) -> str:
        def terminal(**_: Any) -> Console:
            return Console(force_terminal=True, width=width, color_system=None, highlight=False)

        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(output, "Console", terminal)
        capsys.readouterr()
        call()
        return capsys.readouterr().out

    return shown


def command(text: str) -> Callable[[], None]:
    def call() -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main(text.split())
        assert ended.value.code == 0

    return call


def assert_whole(shown: Callable[[int, Callable[[], Any]], str], call: Callable[[], Any]) -> None:
    wide, narrow = shown(WIDE, call), shown(NARROW, call)
    assert max(map(len, narrow.splitlines())) <= NARROW
    # A command to be pasted goes on in the next line after a backslash.
    assert sorted(set(narrow.split()) - {*wide.split(), "\\"}) == [], "broken words"
    assert sorted(set(wide.split()) - set(narrow.split())) == [], "words that were cut"


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_the_help_of_every_command(shown: Any, name: str) -> None:
    assert_whole(shown, command(f"{name} --help"))


@pytest.mark.parametrize(
    "text",
    [
        "algorithms",
        "models",
        "datasets",
        "devices",
        "download",
        "devices show stm32f746",
        "devices show jetson-orin-nano-8gb",
        "suites",
        "figures",
        "fit --device nrf52840 --algorithm backprop --model mlp-784-512-10 --no-measure",
        "fit --device nrf52840 --algorithm tinyfoa --model mlp-64-16-10 --max batch --no-measure",
        f"claims --from {RUNS / 'autoencoder'}",
    ],
)
def test_lists_and_reports(shown: Any, text: str) -> None:
    assert_whole(shown, command(text))


def test_the_report_of_a_run(shown: Any) -> None:
    devices = [load_device(name) for name in ("stm32f407", "jetson-nano")]
    large = memory(static=57_123_456, peak=123_456_789, closed=123_456_000)
    records = [record(memory=large), failed(options={"lr": 0.001, "optimizer": "adam"})]
    reason = "needs 103.5 KiB of storage, but flash is unknown: the module has 16 GB of eMMC, " * 2
    judged = [
        [
            Verdict(device=device.name, budget="ram", status=status, margin=None, reason=reason)
            for device, status in zip(devices, (Status.FITS, Status.UNKNOWN), strict=True)
        ]
    ] * 3

    def report() -> None:
        width = 100  # the same words: a narrow matrix has shorter ones
        output.Output().show(*figures(records, width), *verdicts(judged, devices, width))

    assert_whole(shown, report)


def test_a_pipe_gets_lines_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    line = "needs 103.5 KiB of storage, " * 20 + "but"
    output.Output().show(line)
    assert capsys.readouterr().out == f"{line}\n"


def test_an_error_is_broken_between_words_in_a_terminal_and_one_line_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []
    for terminal in (True, False):
        monkeypatch.setattr(
            output,
            "Console",
            lambda terminal=terminal, **_: Console(force_terminal=terminal, width=NARROW),
        )
        with pytest.raises(SystemExit):
            cli.main(["fit", "--device", "nowhere", "--algorithm", "backprop", "--model", "mlp"])
        ended.append(capsys.readouterr().err)

    narrow, whole = ended
    assert max(map(len, narrow.splitlines())) <= NARROW
    assert whole.count("\n") == 1
    assert narrow.split() == whole.split()
    assert len(narrow.splitlines()) > 1
