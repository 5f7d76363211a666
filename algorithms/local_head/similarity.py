"""The similarity matching loss of a layer, "sim" (Nokland & Eidnes, ICML 2019, arXiv 1901.06656).

Samples of a class should have similar activations, those of different classes dissimilar ones. With
g the layer's output, mapped or not, and y* the one-hot label of a sample, both with the mean over
their own features subtracted, R and T are the cosine similarities of all pairs of samples::

    R_ij = cos(g_i, g_j)      T_ij = cos(y*_i, y*_j)      L = mean_ij (R_ij - T_ij)^2

T_ij is 1 within a class and -1/(C-1) between classes. The paper writes the squared Frobenius norm
of R - T, which is B^2 times as much, and the share 0.99 of ``loss=predsim``. From its released code
are the mean over pairs, the subtracted means and a map that begins like ``torch.nn.Linear``, of the
layer's width and without bias. With n_i = g_i / abs(g_i) and D = R - T the gradient is a product
with a matrix that is B by B::

    dL/dn = 4/B^2 D n        dL/dg_i = (dL/dn_i - n_i (n_i . dL/dn_i)) / abs(g_i) = (M n)_i
    M = 4/B^2 diag(1 / abs(g)) (D - diag(s))                     s_i = sum_j D_ij R_ij

It needs no term for the mean that was subtracted, since the rows of n have none. For s, R need not
be kept: ``sum_j D_ij R_ij = sum_j D_ij^2 + sum_j D_ij T_ij``.

A sample without a single active unit has no direction: its similarities are 0, and nothing is
learned from it. (The released code's gradient is NaN there.) Just before that its gradient is
large, by the factor 1 / abs(g). Batch normalisation, the default of the authors, keeps samples from
falling silent; without it ``loss=sim`` often fails with SGD. R is not clamped to [-1, 1], which in
that code stops rounding only.

Shape suffixes: B batch, P features that are compared, C classes.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.phases import Category, tag

_EPSILON = 1e-8
"""Is added to lengths, as in the released code, for samples without a direction."""


def row_means(g_BP: torch.Tensor) -> torch.Tensor:
    """The mean over a sample's features, shape (B, 1)."""
    return tag(g_BP.mean(1, keepdim=True), Category.WORKSPACE, "row means")


def directions_(g_BP: torch.Tensor) -> torch.Tensor:
    """Turn features without a mean into n; returns ``1 / abs(g)``, shape (B, 1)."""
    inverse_B: torch.Tensor = torch.linalg.vector_norm(g_BP, dim=1, keepdim=True)
    g_BP.mul_(inverse_B.add_(_EPSILON).reciprocal_())
    return inverse_B


def label_directions(y_B: torch.Tensor, classes: int) -> torch.Tensor:
    """One-hot labels without their mean and of length 1, shape (B, C)."""
    length = (1.0 - 1.0 / classes) ** 0.5
    labels_BC = torch.full((len(y_B), classes), -1.0 / classes / length)
    return labels_BC.scatter_(1, y_B[:, None], (1.0 - 1.0 / classes) / length)


def gradient_matrix(
    n_BP: torch.Tensor, inverse_B: torch.Tensor, y_B: torch.Tensor, classes: int, weight: float
) -> torch.Tensor:
    """M of shape (B, B): ``M n`` is the gradient of ``weight L`` with respect to g.

    Args:
        n_BP: Directions of the features.
        inverse_B: ``1 / abs(g)``, shape (B, 1); overwritten.
        y_B: Labels, int64.
        classes: C.
        weight: Factor of the loss.
    """
    labels_BC = label_directions(y_B, classes)
    m_BB = n_BP @ n_BP.T
    m_BB.addmm_(labels_BC, labels_BC.T, alpha=-1.0)  # D
    s_B = torch.linalg.vector_norm(m_BB, dim=1).square_()
    with_target_BC = (m_BB @ labels_BC).mul_(labels_BC)
    del labels_BC
    s_B.add_(tag(with_target_BC.sum(1), Category.WORKSPACE, "sum over classes"))
    del with_target_BC
    m_BB.diagonal().sub_(s_B)
    return m_BB.mul_(inverse_B.mul_(4.0 * weight / len(m_BB) ** 2))
