"""Peer normalisation: a pull on every unit towards the mean activity of its layer (Hinton 2022).

With ``m_o`` the running mean activity of unit o over the B positive rows::

    m_o     <- 0.9 m_o + 0.1 mean_r relu(z_ro)
    dL/dz_ro += 2 peer / B (m_o - mean_o m_o)      in every positive row r

This is the gradient of ``peer sum_o (m_o - mean m)^2`` that Hinton's ``ffnew.m`` uses: the newest
mean counts in full, and the term is not gated by ``z > 0``, so that it reaches units that are
always off. A unit that never speaks is pulled up until it does.

Since the pull ``p_O`` is the same in every row, its part of the gradients has rank one::

    dW += p_O (sum_r h_r)^T      db += B p_O

which is what one more row adds whose dL/dz is ``p_O`` and whose input is the sum of the positive
rows. The float form keeps a spare row for it; no tensor of the layer's size exists. The binarised
form adds the pull to dL/dz, which exists a tile at a time. With binary activations the gradient of
the goodness is cut to ``0 < z < 1`` and the pull is not, so it weighs more: 0.03 drowns the
goodness.

Strength in other people's code, and the rate that goes with it:

* Hinton's ``lambdamean`` is ``peer``. His gradient of the goodness is half of ours, and his
  momentum averages: ``lr = epsilon (1 - delay) / 2``.
* loeweX/Forward-Forward takes the mean over the O units, and differentiates through a tenth of the
  running mean: ``peer = 0.2 / O`` times theirs, with ``lr`` half of theirs.

Shape suffixes: B positive rows, O units of a layer.
"""

from __future__ import annotations

import torch

PEER_MEMORY = 0.9
"""Share of a unit's running mean activity that stays from step to step."""


def pull_(mean_O: torch.Tensor, running_O: torch.Tensor, peer: float, batch: int) -> torch.Tensor:
    """Move the running means, and turn their newest part into the pull, in place.

    Args:
        mean_O: Mean activity over the positive rows of this step; overwritten with dL/dz.
        running_O: Running mean activities; moved towards ``mean_O``.
        peer: Strength.
        batch: Samples, the divisor of the mean.
    """
    running_O.lerp_(mean_O, 1.0 - PEER_MEMORY)
    return torch.sub(running_O, running_O.mean(), out=mean_O).mul_(2.0 * peer / batch)
