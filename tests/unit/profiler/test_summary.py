"""What a profile tells: leaks, cycles of calls, where tensors were made, what is not known."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainfit.algorithms.phases import phase
from trainfit.bench.profiler import profile_step
from trainfit.bench.profiler.places import ModuleNames, user_line
from trainfit.bench.verdicts.memory import Status, judge
from trainfit.hardware_profiles import load_device

HERE = "tests/unit/profiler/test_summary.py"


def line_of(text):
    """``file:line`` of the one line of this file that ends with a text."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = (n for n, line in enumerate(file, 1) if line.rstrip().endswith(text))
    return f"{HERE}:{number}"


def leaking(kept):
    net, x, y = nn.Linear(64, 10), torch.rand(32, 64), torch.randint(0, 10, (32,))

    def step():
        loss = functional.cross_entropy(net(x), y)  # the loss
        loss.backward(retain_graph=True)
        net.zero_grad()
        kept.append(loss)

    return step


def test_a_leak_is_told_with_what_was_left_and_where_it_was_made():
    profile = profile_step(leaking([]))
    assert profile.left_after_step_bytes == 1288  # log-probabilities and two scalars
    assert [block.size for block in profile.left_blocks] == [1280, 4, 4]
    text = str(profile)
    assert "LEAK: leaves 1,288 B per step" in text
    assert f"_log_softmax float32 32x10, {line_of('# the loss')}" in text
    assert profile.left_in_cycles_bytes == 0


def test_a_leak_does_not_fit():
    profile = profile_step(leaking([]))
    board = load_device("stm32f746")
    (verdict,) = judge(
        profile.static_bytes, profile.peak_dynamic_bytes, 0, board,
        left_bytes=profile.left_after_step_bytes,
    )  # fmt: skip
    assert verdict.status is Status.EXCEEDS
    steps = verdict.margin // 1288 + 1
    assert f"leaves 1,288 B per step: full after {steps} steps" in verdict.reason


def test_what_only_the_collector_frees_is_told_from_a_leak():
    def step():
        ring = [torch.rand(100)]
        ring.append(ring)
        torch.rand(10)

    profile = profile_step(step)
    assert profile.left_after_step_bytes == profile.left_in_cycles_bytes == 400
    assert "it goes when Python's garbage collector runs" in str(profile)


def test_measured_twice_a_leak_is_the_same_and_its_past_is_in_no_figure():
    kept = []
    step = leaking(kept)
    first, second = profile_step(step), profile_step(step)
    assert first.ram_bytes == second.ram_bytes
    assert first.static_bytes == (64 * 10 + 10) * 4 + 32 * 64 * 4 + 32 * 8


def accumulating(every):
    net, x, calls = nn.Linear(64, 10), torch.rand(32, 64), [0]

    def step():
        calls[0] += 1
        net(x).sum().backward()
        if calls[0] % every == 0:
            net.zero_grad()

    return step


@pytest.mark.parametrize("every", [3, 4])
def test_work_done_every_so_many_steps_is_measured_as_a_cycle(every):
    profile = profile_step(accumulating(every))
    assert not profile.deterministic
    assert profile.period == every
    assert f"profile_step(step, steps={every})" in str(profile)
    cycle = profile_step(accumulating(every), steps=every)
    assert cycle.deterministic
    assert cycle.steps == every
    gradients = (64 * 10 + 10) * 4
    assert cycle.peak_dynamic_bytes >= 2 * gradients  # those added up, and those being added
    assert cycle.left_after_step_bytes == 0
    assert f"{every} calls measured as one" in str(cycle)


def test_a_step_that_settles_late_is_told_to_warm_up():
    kept = []

    def step():
        kept.append(torch.rand(100))
        if len(kept) > 5:
            kept.pop(0)

    profile = profile_step(step)
    assert not profile.deterministic
    assert profile.period == 1
    assert "more warm-up" in str(profile)
    assert profile_step(step).deterministic


def test_a_step_that_does_more_after_some_calls_is_not_said_to_be_the_same():
    """RAdam needs more from its sixth step on; three repeats before it are identical."""
    net, x = nn.Linear(40, 40), torch.rand(8, 40)
    optimiser = torch.optim.RAdam(net.parameters())

    def step():
        net(x).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    early = profile_step(step)
    assert not early.deterministic
    assert "more warm-up" in str(early)
    late = profile_step(step)
    assert late.deterministic
    assert late.peak_dynamic_bytes > early.peak_dynamic_bytes


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(x).sigmoid()  # in the block


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Identity(), Block())
        self.head = nn.Linear(4 * 64, 2)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def by_module(profile, name="outside"):
    return {block.module: block for block in profile.phases[name].live_at_peak if block.module}


def test_every_tensor_has_a_module_and_a_line():
    net, x = Net(), torch.rand(2, 3, 8, 8)

    def step():
        with phase("forward"):
            loss = net(x).sum()
        with phase("gradient"):
            loss.backward()  # backward
        net.zero_grad()

    profile = profile_step(step)
    made = by_module(profile, "forward")
    assert made["features.1"].line == made["features.1.conv"].line == line_of("# in the block")
    assert made["features.1.conv"].label == "convolution float32 2x4x8x8"
    gradients = by_module(profile, "gradient")
    assert gradients["head"].line == line_of("# backward")
    held = {block.label: block.module for block in profile.static_blocks}
    assert held["features.1.conv.weight float32 4x3x1x1"] == "features.1.conv"
    assert all(block.line or block.size <= 8 for block in profile.live_at_peak)


def test_a_part_of_a_net_is_called_by_its_place_in_the_whole():
    net, x = Net(), torch.rand(2, 3, 8, 8)
    profile = profile_step(lambda: net.features(x).sum())
    assert "features.1.conv" in by_module(profile)


def test_without_modules_backward_names_the_line_of_forward():
    w, x = torch.rand(20, 20, requires_grad=True), torch.rand(3, 20)

    def step():
        loss = (x @ w).sum()  # functional
        loss.backward()  # its backward
        w.grad = None

    profile = profile_step(step)
    lines = {block.line for block in profile.live_at_peak if block.category == "gradients"}
    assert f"{line_of('# its backward')}, for {line_of('# functional')}" in lines


def test_what_is_not_watched_has_module_and_line_all_the_same():
    """Watching would change what attention allocates; the record of operators knows as much."""
    net = nn.ModuleDict({"encoder": nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)})
    x = torch.rand(2, 5, 32)

    def step():
        net["encoder"](x).sum().backward()  # attention
        net.zero_grad()

    profile = profile_step(step)
    assert profile.attribution == ""
    assert profile.categories["activations"] > 0
    assert profile.categories["gradients"] > 0
    modules = {block.module for block in profile.live_at_peak}
    assert {"encoder.self_attn", "encoder.linear1", "encoder.dropout"} & modules
    lines = {block.line for block in profile.live_at_peak if block.size > 8}
    assert lines <= {line_of("# attention")}


def test_time_in_no_phase_is_explained():
    assert (
        'outside: time in no phase; mark parts of the step with trainfit.phase("forward")'
        in str(profile_step(lambda: torch.rand(10)))
    )


def test_modules_in_a_ring_have_names():
    outer, inner = nn.Sequential(), nn.Linear(2, 2)
    outer.add_module("inner", inner)
    inner.add_module("owner", outer)  # some do, to reach their owner
    from weakref import ref

    names = ModuleNames([ref(outer), ref(inner)])
    assert names.path(inner) == "inner"
    assert {path for _, path, _ in names.held()} == {"inner.weight", "inner.bias"}


def test_code_that_was_never_in_a_file_has_a_line_too():
    made = {}
    exec("import torch\n\ndef step():\n    return torch.rand(100)\n", made)
    (block,) = profile_step(made["step"]).live_at_peak
    assert block.line == "<string>:4"


def test_lines_of_torch_and_of_the_measuring_are_nobodys():
    assert user_line(sys._getframe()).startswith(f"{HERE}:")
