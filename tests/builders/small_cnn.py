"""The project in ``tests/projects/small_cnn``, and what its authors might change in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[1] / "projects" / "small_cnn"

_INIT_END = "lr=1e-3)\n"
_STEP_END = "        self.optimizer.step()\n"

CHANGES: dict[str, list[tuple[str, str]]] = {
    "batch": [("BATCH = 8", "BATCH = 16")],
    "width": [("WIDTH = 8", "WIDTH = 12")],
    "gelu": [("functional.relu", "functional.gelu")],
    "gradients kept": [("zero_grad()", "zero_grad(set_to_none=False)")],
    "amsgrad": [("lr=1e-3", "lr=1e-3, amsgrad=True")],
    "average": [
        (
            _INIT_END,
            _INIT_END
            + "        self.average = [each.detach().clone() for each in self.net.parameters()]\n",
        ),
        (
            _STEP_END,
            _STEP_END
            + "        for mean, each in zip(self.average, self.net.parameters(), strict=True):\n"
            "            mean.lerp_(each.detach(), 0.01)\n",
        ),
    ],
    "retain_graph": [("backward()", "backward(retain_graph=True)")],
    "history of losses": [
        (_INIT_END, _INIT_END + "        self.history = []\n"),
        (_STEP_END, _STEP_END + "        self.history.append(loss)\n"),
    ],
    "history of outputs": [
        (_INIT_END, _INIT_END + "        self.history = []\n"),
        (_STEP_END, _STEP_END + "        self.history.append(out)\n"),
    ],
    "running loss": [
        (_INIT_END, _INIT_END + "        self.running = 0\n"),
        (_STEP_END, _STEP_END + "        self.running += loss\n"),
    ],
    "hook": [
        (
            _INIT_END,
            _INIT_END + "        self.net.conv2.register_forward_hook(self.keep)\n"
            "\n    def keep(self, module, inputs, output):\n        self.kept = output\n",
        ),
    ],
    "sgd": [("torch.optim.Adam", "torch.optim.SGD")],
    "clip": [
        (
            _STEP_END,
            "        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)\n" + _STEP_END,
        ),
    ],
    "retain_graph and history": [
        ("backward()", "backward(retain_graph=True)"),
        (_INIT_END, _INIT_END + "        self.history = []\n"),
        (_STEP_END, _STEP_END + "        self.history.append(loss)\n"),
    ],
}
"""What was replaced by what, by the name of the change."""


def source(change: str | None = None) -> str:
    """The file ``train.py``, with a change in it."""
    text = (PROJECT / "train.py").read_text("utf-8")
    for old, new in CHANGES[change] if change else ():
        assert old in text, (change, old)
        text = text.replace(old, new)
    return text


def make_step(folder: Path, change: str | None = None) -> Callable[[], object]:
    """The project's training step, from a file of its own in a folder."""
    file = folder / "train.py"
    file.write_text(source(change), "utf-8")
    module = ModuleType("train")
    exec(compile(source(change), str(file), "exec"), module.__dict__)
    found: Callable[[], object] = module.make_step()
    return found


def write_project(folder: Path, change: str | None = None) -> None:
    """The whole project, with its test."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(source(change), "utf-8")
    shutil.copyfile(PROJECT / "checks.py", folder / "test_training.py")
