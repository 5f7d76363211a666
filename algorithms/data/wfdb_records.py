"""ECG records in the form of the MIT-BIH database: a header, two signals, and annotated beats.

The files are read by PhysioNet's own library, wfdb, after what they say has been compared with what
is there: wfdb opens whatever file a header names, and trusts its lengths. The samples are then
compared with the checksum in the header.

Shape suffixes: T points in time, R beats.
"""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from trainfit._imports import current_folder_left_out
from trainfit.algorithms.data.files import AGAIN, check_file, fail, unreadable
from trainfit.algorithms.errors import ConfigurationError

ENDINGS = ("hea", "dat", "atr")
"""Endings of the three files of a record: header, signals, reference annotations."""
RATE_HZ = 360
_MOST_TEXT_BYTES = 1 << 20
_MOST_SIGNAL_BYTES = 1 << 26
_FORMAT = "212"  # two samples of twelve bits in three bytes
_INVALID = -2048  # what stands in this format where there is no sample


@dataclass(frozen=True)
class EcgRecord:
    """One lead of a record with its beats.

    Attributes:
        name: Name of the record.
        signal_T: Millivolts at 360 Hz, float64.
        beats_R: Where the beats are, as positions in ``signal_T``; int64, rising.
        symbols: The annotation of each beat in PhysioNet's notation, as many as ``beats_R``.
    """

    name: str
    signal_T: np.ndarray
    beats_R: np.ndarray
    symbols: tuple[str, ...]


def require_wfdb(dataset: str) -> ModuleType:
    """The library wfdb.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        with warnings.catch_warnings(), current_folder_left_out():
            # It calls parts of pandas that are about to go, at import already.
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module("wfdb")  # an extra, and half a second
    except ImportError as error:
        raise ConfigurationError(
            f"dataset {dataset!r} is read with the library wfdb, which cannot be imported "
            f"({error}); install it: pip install 'wfdb>=4.3', or trainfit with its extra 'ecg'"
        ) from error


def read_record(wfdb: ModuleType, folder: Path, name: str, lead: str, symbols: str) -> EcgRecord:
    """Read one lead of one record and its beats.

    Args:
        wfdb: The library, from `require_wfdb`.
        folder: Where the three files are.
        name: Name of the record.
        lead: Name of the lead.
        symbols: The annotations that are beats; all others are left out.

    Raises:
        ConfigurationError: A file is missing, unreadable, damaged or of another form.
    """
    header_path, signal_path, beats_path = (folder / f"{name}.{ending}" for ending in ENDINGS)
    check_file(header_path, _MOST_TEXT_BYTES)
    check_file(beats_path, _MOST_TEXT_BYTES)
    size = check_file(signal_path, _MOST_SIGNAL_BYTES)

    header = _call(header_path, wfdb.rdheader, str(folder / name))
    _check_header(header_path, header, signal_path, size, lead)
    channel = header.sig_name.index(lead)
    record = _call(
        signal_path, wfdb.rdrecord, str(folder / name), channels=[channel], physical=False
    )
    raw_T = record.d_signal[:, 0].astype(np.int64)
    _check_samples(signal_path, raw_T, lead, header.checksum[channel])

    annotation = _call(
        beats_path, wfdb.rdann, str(folder / name), "atr", return_label_elements=["label_store"]
    )
    letters = {label.label_store: label.symbol for label in wfdb.io.annotation.ann_labels}
    found = [letters.get(int(code), "") for code in annotation.label_store]
    chosen = [index for index, letter in enumerate(found) if letter and letter in symbols]
    beats_R = annotation.sample[chosen].astype(np.int64)
    _check_beats(beats_path, beats_R, len(raw_T))
    signal_T = (raw_T - header.baseline[channel]) / header.adc_gain[channel]
    return EcgRecord(name, signal_T, beats_R, tuple(found[index] for index in chosen))


def _call(path: Path, reader: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function of wfdb, which says in many ways that a file is damaged."""
    try:
        return reader(*arguments, **options)
    except OSError as error:
        unreadable(path, error)
    except Exception as error:
        problem = re.sub(r"\s+", " ", str(error))[:100]
        fail(path, f"is not what wfdb can read ({type(error).__name__}: {problem}); {AGAIN}")


def _check_header(path: Path, header: Any, signal_path: Path, size: int, lead: str) -> None:
    """Make sure of what the samples are read by, before anything is read by it."""
    signals = header.n_sig or 0
    same: dict[str, tuple[Any, Any]] = {
        "signals": (len(getattr(header, "sig_name", None) or ()), signals),
        "samples per second": (header.fs, RATE_HZ),
        "signal files": (set(getattr(header, "file_name", None) or ()), {signal_path.name}),
        "formats": (set(getattr(header, "fmt", None) or ()), {_FORMAT}),
        "samples per frame": (set(getattr(header, "samps_per_frame", None) or ()), {1}),
        "byte offsets": (set(getattr(header, "byte_offset", None) or ()), {None}),
        "skews": (set(getattr(header, "skew", None) or ()), {None}),
    }
    for what, (found, expected) in same.items():
        if found != expected:
            fail(path, f"has {_plain(found)} as {what}, expected {_plain(expected)}; {AGAIN}")
    promised = -(-(header.sig_len or 0) * signals * 3 // 2)
    if size != promised:
        fail(
            signal_path,
            f"holds {size:,} bytes, {path.name} promises {promised:,}: it is truncated or "
            f"belongs to another header; {AGAIN}",
        )
    if lead not in header.sig_name:
        found = ", ".join(map(str, header.sig_name))
        fail(path, f"has no lead {lead}, only {found[:100]}; the published record has it: {AGAIN}")
    gain = header.adc_gain[header.sig_name.index(lead)]
    if not gain > 0:
        fail(path, f"has {gain} units per millivolt for lead {lead}, expected more than 0; {AGAIN}")


def _plain(value: object) -> str:
    text = " and ".join(sorted(map(str, value))) if isinstance(value, set) else str(value)
    return text[:100] or "nothing"


def _check_samples(path: Path, raw_T: np.ndarray, lead: str, checksum: int | None) -> None:
    found = int(raw_T.sum()) % 65536  # wfdb's checksum: the sum in sixteen bits
    if checksum is not None and found != checksum % 65536:
        fail(
            path,
            f"is damaged: the samples of lead {lead} have the checksum {found}, "
            f"the header has {checksum % 65536}; {AGAIN}",
        )
    invalid = int((raw_T == _INVALID).sum())
    if invalid:
        fail(path, f"marks {invalid:,} samples of lead {lead} as missing; no beat can be cut there")


def _check_beats(path: Path, beats_R: np.ndarray, length: int) -> None:
    if not len(beats_R):
        fail(path, f"annotates no beat; {AGAIN}")
    if (np.diff(beats_R) <= 0).any() or beats_R[0] < 0 or beats_R[-1] >= length:
        fail(path, f"has beats that do not rise from 0 to {length - 1:,}: it is damaged; {AGAIN}")
