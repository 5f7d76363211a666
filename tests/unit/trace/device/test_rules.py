"""The rules of the device view, one small program each; sizes in bytes of float32 tensors."""

from __future__ import annotations

import pytest
import torch

from tests.unit.trace.device.simulation import carry_out
from tests.unit.trace.test_recorder import traced
from trainfit.algorithms import tiling
from trainfit.algorithms.phases import phase
from trainfit.algorithms.tiling import in_tiles, rising
from trainfit.bench.trace.device import device_view

N = 1024  # bytes of a matrix of 16 x 16 float32


def matrix(*shape: int, **kwargs: torch.dtype) -> torch.Tensor:
    return torch.empty(*(shape or (16, 16)), **kwargs)


W = {"device": "meta"}


def found(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(*(shape or (16, 16)), dtype=dtype, device="meta")


def needed(program, **given):
    trace = traced(program, **given)
    carry_out(trace)
    return device_view(trace).peak_bytes


def test_an_element_wise_result_takes_the_place_of_an_operand_that_dies():
    w = found()

    def program():
        h = w @ w
        return (h + 1 / h.exp()).tanh() @ w  # h is read twice, at the same places

    assert needed(program, w=w) == 2 * N


def test_but_not_of_one_that_is_read_later():
    w = found()

    def program():
        h = w @ w
        z = (h @ w).tanh_()
        z @ w
        h @ w

    assert needed(program, w=w) == 3 * N


def test_nor_of_one_that_is_read_at_other_places():
    w = found()

    def program():
        h = w @ w
        z = torch.empty(16, 16)
        torch.add(h, h.T, out=z)
        z.mul_(z)
        z @ w.mul_(z)

    assert needed(program, w=w) == 2 * N


def test_a_hole_between_two_values_of_a_storage_is_free():
    w = found()

    def program():
        buffer, other = torch.empty(16, 16), torch.empty(16, 16)
        torch.mm(w, w, out=buffer)
        w.add_(buffer)
        torch.mm(w, w, out=other)
        w.add_(other)
        torch.mm(w, w, out=buffer)
        w.add_(buffer)

    assert needed(program, w=w) == N


def test_a_part_that_is_written_keeps_the_rest():
    w = found()

    def program():
        buffer, other = torch.empty(16, 16), torch.empty(16, 16)
        torch.mm(w, w, out=buffer)
        torch.mm(w, w, out=other)
        w.add_(other)
        torch.mm(w[:8], w, out=buffer[:8])
        w.add_(buffer)

    assert needed(program, w=w) == 2 * N


def test_what_is_converted_is_converted_where_it_is_read():
    w, q = found(), found(dtype=torch.int8)
    assert needed(lambda: q.float() @ w, w=w, q=q) == N


def test_arithmetic_is_not_done_for_every_read_of_a_product():
    w = found()

    def both():
        h = w @ w
        a, b = h.exp(), h.tanh()
        return a @ b

    # one is computed as the outer loop reads it, the other is stored in the place of h... or not
    assert needed(both, w=w) == 3 * N


def test_truths_are_bits():
    w = found()

    def program():
        h = w @ w
        mask = h > 0
        h.copy_(w @ w)
        h @ w
        w.mul_(mask)

    assert needed(program, w=w) == 2 * N + 16 * 16 // 8


def test_labels_are_bytes_and_one_hot_rows_are_compared():
    w, x = found(10, 16), found(64, 16)

    def program():
        y = torch.empty(64, dtype=torch.int64).random_(0, 10)
        hot = torch.zeros(64, 10).scatter_(1, y[:, None], 1.0)
        w.addmm_(hot.T, x)

    assert needed(program, w=w, x=x) == 64


def test_numbers_are_registers():
    w = found()
    assert needed(lambda: w.mul_(w.norm() * 2 + torch.tensor(3.0)), w=w) == 0


def test_a_sum_of_a_row_is_a_register_of_the_loop_that_needs_it():
    w = found()

    def program():
        h = w @ w
        return (h - h.sum(1, keepdim=True)) @ w

    assert needed(program, w=w) == 2 * N


def test_what_outlives_the_step_lives_to_its_end():
    w = found()
    kept = []

    def program():
        kept.append(w @ w)
        w.add_(w @ w)

    view = device_view(traced(program, w=w))
    assert view.peak_bytes == 2 * N
    assert view.levels[-1] == N


def test_a_lent_part_of_an_input_is_not_kept():
    x, w = found(64, 16), found(16, 16)
    y = found(64, dtype=torch.int64)

    def program():
        kept = x[:, :4].clone()
        x[:, :4].zero_().scatter_(1, y[:, None], 1.0)
        z = x @ w
        x[:, :4].copy_(kept)
        w.addmm_(z.T, x)

    view = device_view(traced(program, x=x, w=w, y=y))
    assert view.peak_bytes == 64 * 16 * 4
    assert view.static_bytes == 64 * 16 * 4 + N + 64


def test_an_operator_that_is_not_known_shares_nothing():
    w = found()

    def program():
        h = w @ w
        return torch.cumsum(h, 0).add_(1) @ w

    assert needed(program, w=w) == 2 * N


def test_what_a_loop_reads_lives_until_its_end():
    w, out = found(), found(64, 16)

    def program():
        h = w @ w
        for rows in in_tiles(64, 8):
            torch.mm(out[rows], h, out=out[rows])
            t = out[rows] @ w
            out[rows].add_(t)

    assert needed(program, w=w, out=out) == N + 8 * 16 * 4


def test_what_the_passes_of_a_loop_add_up_is_one_value():
    w = found()

    def program():
        totals = [w @ w, w @ w]
        for _ in in_tiles(64, 8, apart=True):
            for total in totals:
                total.add_(w @ w)  # at the place of the total, not of what is added to it
        for total in totals:
            w.add_(total)

    assert needed(program, w=w) == 3 * N


def test_a_loop_may_be_the_first_thing_that_a_step_does():
    w = found()

    def program():
        for _ in rising(0, 6):
            w.add_(w @ w)

    assert needed(program, w=w) == N


def of_an_exponential(w, out, every):
    """A loop whose passes read twice an exponential: each all of it, or a part of its own."""

    def program():
        h = w @ w
        e = h.exp().mul_(2.0)
        for rows in in_tiles(16, 4):
            out[rows].add_(e.sum(0) if every else e[rows])
        out.add_(h)

    return program


def test_what_every_pass_of_a_loop_reads_is_not_computed_in_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w, out = found(), found()
    in_part = needed(of_an_exponential(w, out, every=True), w=w, out=out)
    monkeypatch.setattr(tiling, "Repeating", type("Nobody", (), {}))
    assert in_part == needed(of_an_exponential(w, out, every=True), w=w, out=out)
    assert in_part == 2 * N + 64


def test_but_of_what_each_pass_reads_a_part_nothing_is_computed_twice():
    w, out = found(), found()
    assert needed(of_an_exponential(w, out, every=False), w=w, out=out) == N


def test_what_is_made_at_the_peak_is_tried_first():
    """A sum that is added where it is needed, though larger ones are offered, for longer."""
    w, b = found(), found(1, 16)

    def program():
        sums = b @ w
        kept = [(w @ w).add_(w @ w) for _ in range(7)]
        h = (w @ w).tanh_()
        s = h.sum(0, keepdim=True)
        sums.add_(s)
        for each in kept:
            w.add_(each)
        b.add_(sums)

    assert needed(program, w=w, b=b) == 8 * N + 64


def test_phases_and_what_is_alive_at_the_peak():
    w = found()

    def program():
        with phase("forward.positive"):
            h = w @ w
        with phase("gradient"):
            g = h @ w
            g.add_(h)
        with phase("update"):
            w.add_(g)

    view = device_view(traced(program, w=w))
    assert view.phases == {"forward": N, "forward.positive": N, "gradient": 2 * N, "update": N}
    assert [block.bytes for block in view.at_peak] == [N, N]
    assert view.at_peak[0].category in {"activations", "gradients"}
    assert view.at_peak[0].phases == ("forward.positive", "gradient")


def test_a_wrong_plan_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """A place that is left one instant too early, or that two values share."""
    from tests.unit.trace.device import simulation

    w = found()

    def program():
        h = w @ w
        z = (h @ w).tanh_()
        z @ w
        h @ w

    trace = traced(program, w=w)
    right = simulation.plan_of

    def early(values):
        plan = right(values)
        plan.places[0].last -= 1
        return plan

    def shared(values):
        plan = right(values)
        plan.places[-1].values.extend(plan.places[0].values)
        return plan

    for wrong in (early, shared):
        monkeypatch.setattr(simulation, "plan_of", wrong)
        with pytest.raises(AssertionError):
            carry_out(trace)
