"""One step of subspace iteration on a matrix, and the orthonormal rows that it needs.

Rows are made orthonormal by classical Gram-Schmidt, each row twice ("twice is enough": Giraud,
Langou & Rozloznik, Computers & Mathematics with Applications 50, 2005), in place: the coefficients
of one row are all the workspace, while that of LAPACK's QR depends on the library.

Shape suffixes: B rows of the matrix (the batch), I its columns, K rank, J rows before one.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.phases import Category, tag

_PASSES = 2


def orthonormalise_(v_KI: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Make the rows orthonormal, in place; the first j span what they spanned before.

    A row that depends on those before it becomes some direction orthogonal to them, so that all
    rows count: what rounding leaves of it, or a random one where nothing is left.

    Args:
        v_KI: Contiguous, no more rows than columns.
        generator: Draws a row of which nothing is left.
    """
    for number, v_I in enumerate(v_KI):
        passes = _PASSES
        while passes:
            if number:
                before_JI = v_KI[:number]
                c_J = tag(before_JI @ v_I, Category.WORKSPACE, "coefficients")
                v_I.addmv_(before_JI.T, c_J, alpha=-1)
                del c_J
            length = tag(torch.linalg.vector_norm(v_I), Category.WORKSPACE, "length")
            if float(length) > 0.0:
                v_I.div_(length)
                passes -= 1
            else:
                v_I.normal_(generator=generator)
                passes = _PASSES
            del length
    return v_KI


def plan_orthonormalise(plan: MemoryPlan, rows: int, columns: int) -> None:
    """The closed form of ``orthonormalise_``: the coefficients of the last row, and a length."""
    if rows > 1:
        plan.workspace("coefficients", (rows - 1,))
    plan.workspace("length", ())
    projected = 2 * _PASSES * columns * (rows * (rows - 1) // 2)  # coefficients, and what they take
    plan.each(Kind.MULTIPLY, projected + _PASSES * rows * columns)
    plan.each(Kind.ADD, projected + _PASSES * rows * columns)
    plan.each(Kind.DIVIDE, _PASSES * rows * (columns + 1))  # by the length, which is a root


def factorise(
    h_BI: torch.Tensor, start_KI: torch.Tensor | None, rank: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors u, v of ``h ~ u v``: v orthonormal rows, u the coordinates of h in them.

    Args:
        h_BI: The matrix.
        start_KI: The subspace to start from, contiguous, overwritten with v; None for a random one.
        rank: K, if there is none.
        generator: Draws the start.

    Returns:
        ``u``, shape (B, K), and ``v``, shape (K, I).
    """
    if start_KI is None:
        u_BK = h_BI.new_empty(len(h_BI), rank).normal_(generator=generator)
        v_KI = tag(u_BK.T @ h_BI, Category.ACTIVATIONS, "v")
    else:
        u_BK = h_BI @ start_KI.T
        v_KI = torch.mm(u_BK.T, h_BI, out=start_KI)
    tag(u_BK, Category.ACTIVATIONS, "u")
    orthonormalise_(v_KI, generator)
    return torch.mm(h_BI, v_KI.T, out=u_BK), v_KI


def plan_factorise(
    plan: MemoryPlan, shape: tuple[int, int], rank: int, *, warm_start: bool
) -> list[Item]:
    """The closed form of ``factorise``; v is static where there is a start.

    Returns:
        The factors that are born.
    """
    batch, width = shape
    factors = [plan.alloc("u", (batch, rank), Category.ACTIVATIONS)]
    if warm_start:
        plan.product(batch, width, rank)
    else:
        plan.each(Kind.RANDOM, batch * rank)
        factors.append(plan.alloc("v", (rank, width), Category.ACTIVATIONS))
    plan.product(rank, batch, width)
    plan_orthonormalise(plan, rank, width)
    plan.product(batch, width, rank)
    return factors
