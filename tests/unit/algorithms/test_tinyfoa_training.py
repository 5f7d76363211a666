"""TinyFoA trained by the suite's own loop: locally connected, from cached features, cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import workload
from trainfit.bench.training import train as training
from trainfit.bench.training.train import load, train


class CutOffError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("mlp-64-16-16-10", {"features": "cached"}),
        ("lc-1x8x8-4-4-10", {}),
        ("lc-1x8x8-4-4-10", {"features": "cached"}),
        ("cnn-1x8x8-c4-c8-10", {}),
    ],
)
def test_stages_go_on_where_they_were(
    model: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)
    chosen = workload(
        algorithm="tinyfoa",
        model=model,
        options={"lr": 0.02, **options},
        batch_size=64,
        epochs=3,
        train_samples=256,
    )
    data = load(chosen, None)
    whole = train(chosen, data, lambda message: None)
    state = tmp_path / "01.pt"

    def send(message: dict[str, Any]) -> None:
        if message["doing"] == "accuracy 6/6":
            raise CutOffError

    with pytest.raises(CutOffError):
        train(chosen, data, send, state)
    heard: list[Any] = []
    accuracy = train(chosen, data, heard.append, state)

    assert heard == [{"doing": "accuracy 6/6"}]
    assert accuracy.curve == whole.curve
    assert len(set(whole.curve)) > 1
