"""MIT-BIH arrhythmia: heartbeats in the five classes of AAMI, from PhysioNet's raw records.

The files of each record (``106.hea``, ``106.dat``, ``106.atr``) lie in ``mitdb`` below the data
root and are read with the library wfdb. All records that are present are used; `Dataset.note` says
how many. `heartbeats` describes how a beat is cut out. The lead is MLII, which all 44 records have
(record 114 as its second signal), so no other lead is needed.

Names, and the beats of the training half:

- ``mitbih``: **between patients**. Training and test half are the records of DS1 and DS2 of
  de Chazal, O'Dwyer and Reilly (IEEE Trans. Biomed. Eng. 51(7), 2004). No record is in both; one
  person is, since records 201 (DS1) and 202 (DS2) are of the same man.
- ``mitbih-intra``: **within patients**. All beats are pooled and a fifth of each class, drawn at
  random from a fixed seed, is the test half. Nearly every beat that is tested then has neighbours
  of the same heart in the training half, which flatters every accuracy. It is included because many
  published figures are measured so.
- with ``-13x13`` at the end: the first 169 of the 187 samples, as an image of 13 x 13.

Classes are those of ANSI/AAMI EC57, from PhysioNet's beat annotations as de Chazal et al. group
them (`CLASSES`). Records 102, 104, 107 and 217, of paced hearts, are left out as they do. Classes
are far from equally frequent and are not balanced: the smallest class of the 44 records has 15
beats in all, and reducing the others to that would leave nothing to learn from.

Huang and Aminifar (TinyFoA, AAAI 2025) take the first 169 samples of balanced beats of five classes
as 13 x 13. Which records, which lead, how beats are cut and how they are split is not published
with their code, so accuracies reached here cannot be compared with theirs.

Data: Moody and Mark 2001; Goldberger et al. 2000 (PhysioNet).

Shape suffixes: B beats, W samples of a beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo, absent_classes
from trainfit.algorithms.data.files import data_folder
from trainfit.algorithms.data.heartbeats import WIDTH, cut_beats
from trainfit.algorithms.data.wfdb_records import ENDINGS, read_record, require_wfdb
from trainfit.algorithms.errors import ConfigurationError

CLASSES = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
"""AAMI class to PhysioNet's symbols: normal and bundle branch block, supraventricular ectopic,
ventricular ectopic, fusion, unknown. What is in none of them (rhythm, noise, flutter waves, blocked
P waves) is not a beat."""

DS1 = frozenset({101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122})
DS1 |= {124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230}
DS2 = frozenset({100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210})
DS2 |= {212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234}
RECORDS = sorted(DS1 | DS2)
FILES = tuple(f"{record}.{ending}" for record in RECORDS for ending in ENDINGS)
FOLDER = "mitdb"
LEAD = "MLII"
SIDE = 13
_BRINGS = {"N": "223", "S": "223", "V": "208", "F": "208", "Q": "208"}
"""A record of DS1 that has beats of the class."""
_SQUARE = "-13x13"
_TEST_SHARE = 0.2
_SEED = 0

_Beats = tuple[np.ndarray, np.ndarray]  # x_BW, y_B

_FLATTERS = "split at random within patients, which flatters accuracy"
_SUMMARIES = {
    "mitbih": "heartbeats in an ECG, 187 samples in [0, 1]; tested on records not learnt from",
    "mitbih-13x13": "the first 169 samples of the beats of mitbih, as 13x13",
    "mitbih-intra": f"the beats of mitbih, {_FLATTERS}",
    "mitbih-intra-13x13": f"the beats of mitbih-13x13, {_FLATTERS}",
}
INFOS = tuple(
    DatasetInfo(
        name=name,
        summary=summary,
        features=SIDE * SIDE if name.endswith(_SQUARE) else WIDTH,
        classes=len(CLASSES),
        train_samples=None,
        test_samples=None,
        needs_data_root=True,
        source="Moody and Mark 2001, Goldberger et al. 2000 (PhysioNet); records in mitdb",
        licence="ODC-By 1.0",
    )
    for name, summary in _SUMMARIES.items()
)


def load(name: str, data_root: Path | None) -> Dataset:
    """Read the records that are present, cut out their beats and split them.

    Args:
        name: One of the names above.
        data_root: What the user named.

    Raises:
        ConfigurationError: wfdb is not installed; a half has no records; a class has no beat in the
            training half; a file is missing, unreadable or damaged.
    """
    folder = data_folder(name, data_root, FOLDER)
    wfdb = require_wfdb(name)
    present = [number for number in RECORDS if (folder / f"{number}.hea").exists()]
    intra = "-intra" in name
    halves = {"either": DS1 | DS2} if intra else {"the training": DS1, "the test": DS2}
    for half, records in halves.items():
        if not records.intersection(present):
            raise ConfigurationError(
                f"dataset {name!r}: {folder} holds no record for {half} half; it needs one at "
                f"least of {_listed(sorted(records))}, each as .hea, .dat and .atr"
            )
    beats = {number: _read_beats(wfdb, folder, number) for number in present}
    if intra:
        train, test = _split_at_random(*_join(list(beats.values())))
    else:
        train = _join([beats[number] for number in present if number in DS1])
        test = _join([beats[number] for number in present if number in DS2])
    _require_all_classes(f"dataset {name!r}", train[1], [n for n in present if intra or n in DS1])
    note = _note(present, intra, _absent(test[1]))
    shape = (1, 1, WIDTH)
    if name.endswith(_SQUARE):
        shape = (1, SIDE, SIDE)
        train, test = ((x_BW[:, : SIDE * SIDE], y_B) for x_BW, y_B in (train, test))
    train_x, train_y, test_x, test_y = (
        torch.from_numpy(np.ascontiguousarray(part)) for part in (*train, *test)
    )
    return Dataset(name, train_x, train_y, test_x, test_y, len(CLASSES), shape, note)


def _read_beats(wfdb: ModuleType, folder: Path, number: int) -> _Beats:
    """The beats of one record in the order of time, and their classes."""
    record = read_record(wfdb, folder, str(number), LEAD, "".join(CLASSES.values()))
    x_BW, kept_B = cut_beats(record.signal_T, record.beats_R)
    classes = {symbol: label for label, group in enumerate(CLASSES.values()) for symbol in group}
    y_B = np.array([classes[record.symbols[beat]] for beat in kept_B], dtype=np.int64)
    return x_BW, y_B


def _join(parts: Sequence[_Beats]) -> _Beats:
    return np.concatenate([x_BW for x_BW, _ in parts]), np.concatenate([y_B for _, y_B in parts])


def _split_at_random(x_BW: np.ndarray, y_B: np.ndarray) -> tuple[_Beats, _Beats]:
    """The same fifth of every class each time for testing, the rest for training, in order."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    tested_B = np.zeros(len(y_B), dtype=bool)
    for label in range(len(CLASSES)):
        of_class = rng.permutation(np.flatnonzero(y_B == label))
        tested_B[of_class[: round(_TEST_SHARE * len(of_class))]] = True
    return (x_BW[~tested_B], y_B[~tested_B]), (x_BW[tested_B], y_B[tested_B])


def _require_all_classes(what: str, y_B: np.ndarray, records: Sequence[int]) -> None:
    absent = _absent(y_B)
    if absent:
        hint = "; ".join(f"record {_BRINGS[letter]} has {letter}" for letter in absent)
        raise ConfigurationError(
            f"{what}: no beat of class {', '.join(absent)} in the training half, which is made of "
            f"the records {_listed(records)}; {hint}"
        )


def _absent(y_B: np.ndarray) -> list[str]:
    letters = list(CLASSES)
    return [letters[label] for label in absent_classes(torch.from_numpy(y_B), len(CLASSES))]


def _listed(records: Sequence[int]) -> str:
    return " ".join(map(str, records))


def _note(present: Sequence[int], intra: bool, absent: Sequence[str]) -> str:
    """The number of records, and the classes that the test half lacks."""
    note = f"{len(present)} of {len(RECORDS)} records"
    if len(present) < len(RECORDS):
        halves = [("", DS1 | DS2)] if intra else [("train ", DS1), ("test ", DS2)]
        listed = [
            half + _listed([number for number in present if number in records])
            for half, records in halves
        ]
        note += f" ({'; '.join(listed)})"
    if intra:
        note += f"; {_FLATTERS}"
    if absent:
        note += f"; no beat of class {', '.join(absent)} in the test half"
    return note
