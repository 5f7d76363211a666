"""From an ECG to one row of fixed width per heartbeat.

The form is that of Kachuee, Fazeli and Sarrafzadeh (ECG Heartbeat Classification: A Deep
Transferable Representation, ICHI 2018, preprocessing): 125 Hz, a window that begins at the R peak
and is 1.2 times the median RR interval of ten seconds long, values in [0, 1], zeros behind it up to
187 samples. Their code is not published. Decisions here, where the paper is silent or different:

- R peaks are those of the database's annotations. The authors detect them.
- The ten seconds are centred on the peak. The authors cut the record into stretches of ten seconds.
- A window is scaled by its own minimum and maximum, before the zeros. The authors scale each
  stretch.
- The rate is changed by polyphase filtering (25 / 72, scipy's default Kaiser window).
- A window that would be longer than 187 samples is cut there. A beat whose window runs past the
  end of the record, or holds one value only, is left out.

Shape suffixes: T points in time, R beats, B beats that are kept, W samples of a window.
"""

from __future__ import annotations

import numpy as np

WIDTH = 187
"""Samples per beat, 1.496 seconds."""
_FROM_HZ, _TO_HZ = 360, 125
_UP, _DOWN = 25, 72  # 125 / 360 in lowest terms
_HALF = 5 * _FROM_HZ
_MEDIANS = 1.2


def cut_beats(signal_T: np.ndarray, beats_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row per beat.

    Args:
        signal_T: The ECG at 360 Hz, float64.
        beats_R: Positions of the R peaks in it, rising; int64.

    Returns:
        Rows of values in [0, 1], float32, (kept beats, 187), in the order of time; and which beats
        were kept, as their indices in ``beats_R``, int64.
    """
    from scipy.signal import resample_poly  # noqa: PLC0415  (takes a moment; few data sets need it)

    # Around its mean, so that neither the ends nor the filter's ripple show an offset.
    slow_T = resample_poly(signal_T, _UP, _DOWN, padtype="mean")
    starts_R = (beats_R * _UP + _DOWN // 2) // _DOWN
    rows_RW = np.zeros((len(beats_R), WIDTH), dtype=np.float32)
    kept: list[int] = []
    for beat, (start, length) in enumerate(zip(starts_R, _lengths(beats_R), strict=True)):
        window = slow_T[start : start + length]
        low, high = (window.min(), window.max()) if len(window) == length else (0.0, 0.0)
        if high > low:
            rows_RW[len(kept), :length] = (window - low) / (high - low)
            kept.append(beat)
    return rows_RW[: len(kept)], np.array(kept, dtype=np.int64)


def _lengths(beats_R: np.ndarray) -> list[int]:
    """Samples at 125 Hz that each beat's window is long."""
    intervals = np.diff(beats_R)
    first = np.searchsorted(beats_R, beats_R - _HALF)
    last = np.searchsorted(beats_R, beats_R + _HALF, side="right") - 1
    found = []
    for start, end in zip(first, last, strict=True):
        near = intervals[start:end]  # none if it is alone for five seconds on either side
        samples = round(_MEDIANS * np.median(near) * _TO_HZ / _FROM_HZ) if len(near) else WIDTH
        found.append(min(WIDTH, max(1, samples)))
    return found
