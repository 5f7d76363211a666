"""One step of subspace iteration on a matrix, and the orthonormal rows that it needs.

Rows are made orthonormal by classical Gram-Schmidt in place, every row twice ("twice is enough":
Giraud, Langou & Rozloznik, Computers & Mathematics with Applications 50, 2005). The coefficients of
one row are all the workspace, while that of LAPACK's QR depends on the library; and every step does
the same, whatever the rank of the matrix is.

Shape suffixes: B rows of the matrix (the batch), I its columns, K rank, J rows before one.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import rising

_PASSES = 2

_NOTHING = 1e-5
"""Of a row of length 1 that the first pass leaves: rounding errors, and no direction of its own."""


def orthonormalise_(v_KI: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Make the rows orthonormal, in place; the first j span what they spanned before.

    A row that depends on those before it becomes a random direction orthogonal to them, so that all
    rows count, as many as there are.

    Args:
        v_KI: Contiguous, no more rows than columns.
        generator: Draws such a row.
    """
    _make_orthogonal_(v_KI[0], v_KI[:0], generator)
    for number in rising(1, len(v_KI)):
        _make_orthogonal_(v_KI[number], v_KI[:number], generator)
    return v_KI


def _make_orthogonal_(
    v_I: torch.Tensor, before_JI: torch.Tensor, generator: torch.Generator
) -> None:
    """Make a row of length 1, orthogonal to those before it."""
    if not _normalise_(v_I) > 0.0:  # no length, or none that is a number
        v_I.normal_(generator=generator)
    for again in range(_PASSES):
        if len(before_JI):
            c_J = tag(before_JI @ v_I, Category.WORKSPACE, "coefficients")
            v_I.addmv_(before_JI.T, c_J, alpha=-1)
            del c_J
        left = _normalise_(v_I)
        if not again and not left > _NOTHING:
            v_I.normal_(generator=generator)


def _normalise_(v_I: torch.Tensor) -> float:
    """Divide a row by its length, which is returned."""
    length = tag(torch.linalg.vector_norm(v_I), Category.WORKSPACE, "length")
    v_I.div_(length)
    return float(length)


def factorise(
    h_BI: torch.Tensor, start_KI: torch.Tensor | None, rank: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors u, v of ``h ~ u^T v``: v orthonormal rows, u the coordinates of h in them.

    ``v = orth(start h^T h)`` is computed as ``orth(orth(start h^T) h)``, whose rows are the same:
    nothing is lost to squared singular values.

    Args:
        h_BI: The matrix.
        start_KI: The subspace to start from, contiguous, overwritten with v; None for a random one.
        rank: K, at most B and I.
        generator: Draws the start.

    Returns:
        ``u``, shape (K, B), and ``v``, shape (K, I).
    """
    if start_KI is None:
        u_KB = h_BI.new_empty(rank, len(h_BI)).normal_(generator=generator)
    else:
        u_KB = start_KI @ h_BI.T
    orthonormalise_(tag(u_KB, Category.ACTIVATIONS, "u"), generator)
    if start_KI is None:
        v_KI = tag(u_KB @ h_BI, Category.ACTIVATIONS, "v")
    else:
        v_KI = torch.mm(u_KB, h_BI, out=start_KI)
    orthonormalise_(v_KI, generator)
    return torch.mm(v_KI, h_BI.T, out=u_KB), v_KI
