"""MIT-BIH: records written for the purpose, and the real ones where they are at hand."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.data.shared import REAL_ROOT, needs_real, refusal
from trainfit.algorithms.data import DATA_ROOT_VARIABLE, load_dataset, mitbih
from trainfit.algorithms.data.heartbeats import WIDTH, cut_beats
from trainfit.algorithms.data.wfdb_records import read_record, require_wfdb
from trainfit.algorithms.errors import ConfigurationError

pytest.importorskip("wfdb", reason="reads the records", exc_type=ImportError)
NAMES = ["mitbih", "mitbih-13x13", "mitbih-intra", "mitbih-intra-13x13"]
ALL_CLASSES = "NLRejNNNNNNNAaJSSVVEVFFF/fQQQ"
"""Symbols of the beats of a written record; all classes more than once, but unevenly."""


def write_record(
    root: Path,
    name: str,
    symbols: str,
    *,
    every: int = 300,
    leads: tuple[str, ...] = ("MLII", "V1"),
    other: tuple[tuple[int, str], ...] = (),
    **changes: Any,
) -> Path:
    """Write a record in the form of the database: a spike at every beat, a little hum between.

    Args:
        root: The data root.
        name: Name of the record.
        symbols: One annotation per beat; the first beat is at 100.
        every: Samples between two beats.
        leads: Names of the signals; the first spike of each is higher than that of the one before.
        other: More annotations, with their positions.
        changes: Handed to wfdb's writer.
    """
    import wfdb

    folder = root / "mitdb"
    folder.mkdir(exist_ok=True)
    beats = np.arange(len(symbols)) * every + 100
    time = np.arange(len(symbols) * every + 700)
    away = np.abs(time[:, None] - beats).min(axis=1)
    spikes = np.maximum(0, 200 - 20 * away)
    signal = np.column_stack(
        [1024 + (n + 1) * spikes + (10 * np.sin(time / 40)) for n in range(len(leads))]
    ).astype(np.int64)
    count = len(leads)
    fields = {
        "fs": 360,
        "units": ["mV"] * count,
        "sig_name": list(leads),
        "d_signal": signal,
        "fmt": ["212"] * count,
        "adc_gain": [200.0] * count,
        "baseline": [1024] * count,
        **changes,
    }
    marks = sorted([*zip(beats.tolist(), symbols, strict=True), *other])
    with warnings.catch_warnings():  # the writer, too, uses what pandas is about to drop
        warnings.simplefilter("ignore", DeprecationWarning)
        wfdb.wrsamp(name, write_dir=str(folder), **fields)
        positions = np.array([position for position, _ in marks])
        wfdb.wrann(name, "atr", positions, [mark for _, mark in marks], write_dir=str(folder))
    return folder / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One record of each half, with all classes."""
    write_record(tmp_path, "106", ALL_CLASSES)
    write_record(tmp_path, "105", ALL_CLASSES[::-1], every=250)
    return tmp_path


# --- what loads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_forms(name: str, root: Path) -> None:
    loaded = load_dataset(name, root)
    square = name.endswith("13x13")
    assert loaded.name == name
    assert loaded.classes == 5
    assert loaded.features == (169 if square else 187)
    assert loaded.shape == ((1, 13, 13) if square else (1, 1, 187))
    assert loaded.train_x.min() == 0
    assert loaded.train_x.max() == 1


def test_symbols_become_classes(root: Path) -> None:
    loaded = load_dataset("mitbih", root)
    labels = {"N": 0, "L": 0, "R": 0, "e": 0, "j": 0, "A": 1, "a": 1, "J": 1, "S": 1}
    labels |= {"V": 2, "E": 2, "F": 3, "/": 4, "f": 4, "Q": 4}
    assert loaded.train_y.tolist() == [labels[symbol] for symbol in ALL_CLASSES]
    assert loaded.test_y.tolist() == [labels[symbol] for symbol in reversed(ALL_CLASSES)]


def test_other_annotations_are_no_beats(tmp_path: Path, root: Path) -> None:
    plain = load_dataset("mitbih", root)
    others = ((20, "+"), (150, "~"), (410, "|"), (500, "x"), (710, "!"), (720, "["), (730, '"'))
    write_record(tmp_path, "106", ALL_CLASSES, other=others)
    marked = load_dataset("mitbih", tmp_path)
    assert torch.equal(marked.train_x, plain.train_x)
    assert torch.equal(marked.train_y, plain.train_y)


def test_square_is_the_beginning(root: Path) -> None:
    for name in ("mitbih", "mitbih-intra"):
        whole, square = load_dataset(name, root), load_dataset(f"{name}-13x13", root)
        assert torch.equal(square.train_x, whole.train_x[:, :169])
        assert torch.equal(square.test_x, whole.test_x[:, :169])
        assert torch.equal(square.train_y, whole.train_y)


def test_halves_are_those_of_de_chazal() -> None:
    assert len(mitbih.DS1) == len(mitbih.DS2) == 22
    assert not mitbih.DS1 & mitbih.DS2
    assert not {102, 104, 107, 217} & (mitbih.DS1 | mitbih.DS2)
    numbers = {*range(100, 125), *range(200, 235)} - {110, 120, 204, 206, 211, 216, 218}
    numbers -= {*range(224, 228), 229}
    assert len(numbers) == 48  # as many as the database has
    assert numbers - {102, 104, 107, 217} == mitbih.DS1 | mitbih.DS2


def test_paced_and_other_records_are_not_read(root: Path) -> None:
    before = load_dataset("mitbih", root)
    for name in ("102", "999"):
        (root / "mitdb" / f"{name}.hea").write_text("not read")
    after = load_dataset("mitbih", root)
    assert torch.equal(after.train_x, before.train_x)
    assert torch.equal(after.test_x, before.test_x)


def test_lead_is_found_by_name(tmp_path: Path, root: Path) -> None:
    plain = load_dataset("mitbih", root)
    write_record(tmp_path, "106", ALL_CLASSES, leads=("V5", "MLII"))  # as record 114 has them
    other = load_dataset("mitbih", tmp_path)
    assert not torch.equal(other.train_x, plain.train_x)
    path = write_record(tmp_path, "114", ALL_CLASSES, leads=("V5", "MLII"))
    record = read_record(require_wfdb("mitbih"), path.parent, "114", "MLII", ALL_CLASSES)
    assert record.signal_T.max() > 1.9  # the second lead's spikes are 400 units of 1/200 mV
    assert record.beats_R.tolist() == [100 + 300 * n for n in range(len(ALL_CLASSES))]
    assert record.symbols == tuple(ALL_CLASSES)


# --- what is said about it ----------------------------------------------------------------------


def test_note_counts_records(root: Path) -> None:
    assert load_dataset("mitbih", root).note == "2 of 44 records (train 106; test 105)"
    assert load_dataset("mitbih-intra", root).note == (
        "2 of 44 records (105 106); split at random within patients, which flatters accuracy"
    )


def test_summaries_say_what_flatters() -> None:
    flattering = {info.name for info in mitbih.INFOS if "flatters" in info.summary}
    assert flattering == {"mitbih-intra", "mitbih-intra-13x13"}


def test_class_missing_from_the_test_half_is_noted(tmp_path: Path) -> None:
    write_record(tmp_path, "106", ALL_CLASSES)
    write_record(tmp_path, "105", "NNNVVS")
    loaded = load_dataset("mitbih", tmp_path)
    assert loaded.note == (
        "2 of 44 records (train 106; test 105); no beat of class F, Q in the test half"
    )


def test_class_missing_from_the_training_half_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, "106", "NNNVVV")
    write_record(tmp_path, "101", "NNNVVQ")
    write_record(tmp_path, "105", ALL_CLASSES)
    assert refusal("mitbih", tmp_path) == (
        "dataset 'mitbih': no beat of class S, F in the training half, which is made of the "
        "records 101 106; record 223 has S; record 208 has F"
    )
    assert load_dataset("mitbih-intra", tmp_path).train_y.unique().tolist() == [0, 1, 2, 3, 4]


def test_half_without_records(root: Path) -> None:
    for ending in ("hea", "dat", "atr"):
        (root / "mitdb" / f"105.{ending}").unlink()
    text = refusal("mitbih", root)
    assert text.startswith(
        f"dataset 'mitbih': {root / 'mitdb'} holds no record for the test half; it needs one at "
        "least of 100 103 105 111 "
    )
    assert text.endswith(" 234, each as .hea, .dat and .atr")
    load_dataset("mitbih-intra", root)
    (root / "mitdb" / "106.hea").unlink()
    assert "holds no record for the training half" in refusal("mitbih", root)
    assert "holds no record for either half" in refusal("mitbih-intra", root)


def test_library_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wfdb", None)
    text = refusal("mitbih", root)
    assert text.startswith("dataset 'mitbih' is read with the library wfdb, which cannot be imp")
    assert "install it: pip install 'wfdb>=4.3', or trainfit with its extra 'ecg'" in text


def test_no_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match="'trainfit download mitbih --data-root DIR'"):
        load_dataset("mitbih-13x13")


# --- the split within patients ------------------------------------------------------------------


def rows(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_split_within_patients(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("106", "105"):
        symbols = "".join(rng.permutation(list("N" * 50 + "V" * 21 + "S" * 7 + "FFFF" + "Q")))
        write_record(tmp_path, name, symbols, every=int(name) * 2)
    first = load_dataset("mitbih-intra", tmp_path)
    torch.manual_seed(99)
    np.random.seed(99)
    second = load_dataset("mitbih-intra", tmp_path)
    assert torch.equal(first.train_x, second.train_x)
    assert torch.equal(first.test_y, second.test_y)
    assert first.train_y.bincount().tolist() == [80, 11, 34, 6, 2]
    assert first.test_y.bincount().tolist() == [20, 3, 8, 2]
    pooled = load_dataset("mitbih", tmp_path)
    every = rows(torch.cat([pooled.train_x, pooled.test_x]))
    assert rows(torch.cat([first.train_x, first.test_x])) == every
    # Beats of both records are on both sides.
    for half in (first.train_x, first.test_x):
        assert rows(half) & rows(pooled.train_x)
        assert rows(half) & rows(pooled.test_x)


# --- how a beat is cut --------------------------------------------------------------------------


def test_window_begins_at_the_peak_and_is_scaled() -> None:
    beats = np.arange(10) * 288 + 360  # 100 samples at 125 Hz apart
    time = np.arange(4000)
    signal = np.exp(-(((time[:, None] - beats) / 12.0) ** 2)).sum(axis=1) * 1.7 - 0.4
    x, kept = cut_beats(signal, beats)
    assert kept.tolist() == list(range(10))
    assert x.dtype == np.float32
    assert x.shape == (10, WIDTH)
    length = 120  # 1.2 times 100
    assert (x[:, length:] == 0).all()
    assert x[:, :length].min(axis=1).tolist() == [0] * 10
    assert x[:, :length].max(axis=1).tolist() == [1] * 10
    # The curve itself, sampled at 125 Hz: resampling and scaling change nothing else.
    at = np.arange(length) * 2.88
    expected = np.exp(-((at / 12.0) ** 2)) + np.exp(-(((at - 288) / 12.0) ** 2))
    np.testing.assert_allclose(x[3, :length], expected, atol=0.01)
    assert x[3, 0] == 1
    assert x[3, 100] == pytest.approx(1, abs=0.01)  # the next beat


def test_scale_and_offset_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    signal, beats = rng.standard_normal(4000), np.arange(10) * 300 + 100
    x, _ = cut_beats(signal, beats)
    other, _ = cut_beats(signal * 3 + 100, beats)
    np.testing.assert_allclose(other, x, atol=1e-5)


@pytest.mark.parametrize(
    ("gaps", "lengths"),
    [
        ([288] * 4, [120] * 5),
        ([360] * 4, [150] * 5),
        ([449] * 4, [187] * 5),  # 1.2 * 449 * 125 / 360 = 187.1
        ([900] * 4, [187] * 5),
        ([4000, 4000], [187] * 3),  # each alone for ten seconds
        ([288, 4000], [120, 120, 187]),
        ([200, 300], [104] * 3),  # the median of two is their mean: 250
    ],
)
def test_lengths_follow_the_rate_nearby(gaps: list[int], lengths: list[int]) -> None:
    beats = np.cumsum([100, *gaps])
    signal = np.random.default_rng(2).standard_normal(beats[-1] + 700)
    x, _ = cut_beats(signal, beats)
    # A sample behind the window is exactly 0; the last one inside it is not, but for one minimum.
    found = [int(np.flatnonzero(row)[-1]) + 1 for row in x]
    assert np.abs(np.array(found) - lengths).max() <= 1


def test_rate_is_that_of_ten_seconds_around() -> None:
    slow, fast = [400] * 20, [200] * 20
    beats = np.cumsum([100, *slow, *fast])
    signal = np.random.default_rng(3).standard_normal(beats[-1] + 700)
    x, _ = cut_beats(signal, beats)
    lengths = [int(np.flatnonzero(row)[-1]) + 1 for row in x]
    assert lengths[0] == pytest.approx(1.2 * 400 * 125 / 360, abs=1)
    assert lengths[-1] == pytest.approx(1.2 * 200 * 125 / 360, abs=1)


def test_windows_without_a_whole_beat_are_left_out() -> None:
    beats = np.arange(10) * 300 + 100
    signal = np.random.default_rng(4).standard_normal(beats[-1] + 200)
    signal[300:1200] = 0.5  # flat from before the second beat to behind the third
    x, kept = cut_beats(signal, beats)
    assert len(x) == len(kept)
    assert 9 not in kept  # runs past the end
    assert 2 not in kept or x[kept.tolist().index(2)].any()
    silent, none = cut_beats(np.zeros(4000), beats)
    assert silent.shape == (0, WIDTH)
    assert none.tolist() == []


def test_beats_at_the_end_are_missing_from_the_data(tmp_path: Path, root: Path) -> None:
    whole = load_dataset("mitbih", root)
    path = write_record(tmp_path, "106", ALL_CLASSES)
    signal = read_record(require_wfdb("x"), path.parent, "106", "MLII", ALL_CLASSES).signal_T
    short = (signal[: 100 + 300 * 28 + 70] * 200 + 1024).round().astype(np.int64)
    write_record(tmp_path, "106", ALL_CLASSES, d_signal=np.column_stack([short, short]))
    assert len(load_dataset("mitbih", tmp_path).train_x) == len(whole.train_x) - 1


# --- damaged records ----------------------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("ending", ["dat", "atr"])
def test_file_of_a_record_missing(root: Path, ending: str) -> None:
    (root / "mitdb" / f"106.{ending}").unlink()
    assert refusal("mitbih", root) == (
        f"{root / 'mitdb'}/106.{ending} cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
def test_file_empty_or_no_file(root: Path, ending: str) -> None:
    file = root / "mitdb" / f"106.{ending}"
    file.write_bytes(b"")
    assert refusal("mitbih", root) == f"{file} is empty (0 bytes); fetch it again"
    file.unlink()
    file.mkdir()
    assert refusal("mitbih", root) == f"{file} is not a regular file"


def test_signal_truncated(root: Path) -> None:
    file = root / "mitdb" / "106.dat"
    size = file.stat().st_size
    os.truncate(file, size - 3)
    assert refusal("mitbih", root) == (
        f"{file} holds {size - 3:,} bytes, 106.hea promises {size:,}: it is truncated or belongs "
        "to another header; fetch it again"
    )


def test_signal_damaged(root: Path) -> None:
    file = root / "mitdb" / "106.dat"
    content = bytearray(file.read_bytes())
    content[3000] ^= 1
    file.write_bytes(content)
    text = refusal("mitbih", root)
    assert text.startswith(f"{file} is damaged: the samples of lead MLII have the checksum ")
    assert text.endswith("; fetch it again")


def test_samples_missing(tmp_path: Path, root: Path) -> None:
    path = write_record(tmp_path, "106", ALL_CLASSES)
    record = read_record(require_wfdb("x"), path.parent, "106", "MLII", ALL_CLASSES)
    raw = (record.signal_T * 200 + 1024).round().astype(np.int64)
    raw[50:60] = -2048
    write_record(tmp_path, "106", ALL_CLASSES, d_signal=np.column_stack([raw, raw]))
    assert refusal("mitbih", tmp_path) == (
        f"{path}.dat marks 10 samples of lead MLII as missing; no beat can be cut there"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("106 2 360 ", "106 2 250 ", "has 250 as samples per second, expected 360"),
        ("106 2 360 ", "106 3 360 ", "has 2 as signals, expected 3"),
        ("106.dat 212", "105.dat 212", "has 105.dat as signal files, expected 106.dat"),
        ("106.dat 212", "../106.dat 212", "is not what wfdb can read (HeaderSyntaxError"),
        ("106.dat 212", "/etc/passwd 212", "is not what wfdb can read (HeaderSyntaxError"),
        ("106.dat 212", "a::http://b.c 212", "is not what wfdb can read (HeaderSyntaxError"),
        ("106.dat 212", "106.dat 16", "has 16 as formats, expected 212"),
        ("106.dat 212", "106.dat 212x2", "has 2 as samples per frame, expected 1"),
        ("106.dat 212", "106.dat 212+64", "has 64 as byte offsets, expected None"),
        ("MLII", "V5", "has no lead MLII, only V5, V1; the published record has it"),
        ("200.0(1024)/mV", "-200.0(1024)/mV", "has -200.0 units per millivolt for lead MLII"),
    ],
)
def test_header_of_another_form(root: Path, old: str, new: str, message: str) -> None:
    file = root / "mitdb" / "106.hea"
    if old not in file.read_text():
        old, new = old.replace("200.0", "200"), new.replace("200.0", "200")
    edit(file, old, new)
    text = refusal("mitbih", root)
    assert text.startswith(f"{file} ")
    assert message in text
    assert "fetch it again" in text


@pytest.mark.parametrize(
    "content", [b"\n", b"# only a comment\n", b"\xff\xfe\x00binary", b"106/3 2 360 100\n", b"106\n"]
)
def test_header_that_is_none(root: Path, content: bytes) -> None:
    file = root / "mitdb" / "106.hea"
    file.write_bytes(content)
    text = refusal("mitbih", root)
    assert text.startswith((f"{file} ", f"{file.with_suffix('.dat')} "))
    assert "fetch it again" in text


def test_annotations_damaged_anywhere(root: Path) -> None:
    file = root / "mitdb" / "106.atr"
    whole = file.read_bytes()
    for content in [*(whole[:size] for size in range(1, len(whole), 3)), b"\xff" * 100, b"text"]:
        file.write_bytes(content)
        # Cut between two annotations, a file is as good as any: nothing in it shows the end.
        with suppress(ConfigurationError):
            loaded = load_dataset("mitbih", root)
            assert len(loaded.train_x) <= len(ALL_CLASSES)
    assert refusal("mitbih", root).startswith(f"{file} ")


@pytest.mark.parametrize(
    ("beats", "message"),
    [
        ([10, 9_999_999], "has beats that do not rise from 0 to 9,399: it is damaged"),
        ([], "annotates no beat; fetch it again"),
    ],
)
def test_annotations_of_another_record(root: Path, beats: list[int], message: str) -> None:
    positions = np.array([5, *beats])
    symbols = ["+", *"N" * len(beats)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        require_wfdb("x").wrann("106", "atr", positions, symbols, write_dir=str(root / "mitdb"))
    assert message in refusal("mitbih", root)


def test_library_that_is_not_allowed_to_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(require_wfdb("x"), "rdrecord", refuse)
    expected = f"{root / 'mitdb' / '105.dat'} cannot be read: permission denied; make it readable"
    assert refusal("mitbih", root) == expected


# --- the real ones ------------------------------------------------------------------------------


@needs_real("mitdb")
def test_real_records() -> None:
    loaded = load_dataset("mitbih", REAL_ROOT)
    assert loaded.note
    present = [n for n in mitbih.RECORDS if (REAL_ROOT / "mitdb" / f"{n}.hea").exists()]
    assert f"{len(present)} of 44 records" in loaded.note
    if present == [105, 106, 119, 200, 208, 213, 223, 233]:
        assert loaded.train_y.bincount().tolist() == [6677, 75, 2429, 387, 2]
        assert loaded.test_y.bincount().tolist() == [9135, 65, 1918, 375, 5]
    # A window begins at the R peak, which is the highest point of most normal beats.
    normal = loaded.train_x[loaded.train_y == 0]
    assert (normal[:, :3].max(dim=1).values > 0.9).double().mean() > 0.7
