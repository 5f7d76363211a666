"""What Ctrl-C says depends on what it ended."""

from __future__ import annotations

from typing import Any

import pytest

from trainfit.bench.cli import main as cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "interrupted; what was measured is kept, --resume --out DIR goes on with it"),
        (["download", "mnist"], "interrupted"),
    ],
)
def test_an_interrupt_is_one_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == cli.INTERRUPTED
    assert capsys.readouterr().err == f"trainfit: {message}\n"
