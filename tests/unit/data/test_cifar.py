"""CIFAR: what loads, and that no file, however made, runs anything or takes memory for nothing."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.data.shared import REAL_ROOT, needs_real, refusal
from trainfit.algorithms.data import cifar, load_dataset
from trainfit.algorithms.errors import ConfigurationError

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    "cifar10": [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}
KEYS = {"cifar10": "labels", "cifar100": "fine_labels"}


def pixels(count: int, first: int = 0) -> np.ndarray:
    values = (np.arange(count * 3072) + first) % 256
    return values.astype(np.uint8).reshape(count, 3072)


def python2(labels: list[int], data: np.ndarray, key: str) -> bytes:
    """A batch as the published ones are written: protocol 2, strings of Python 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    return b"".join(
        [
            b"\x80\x02}q\x01(",
            text(b"batch_label") + b"q\x02" + text(b"testing batch 1 of 1") + b"q\x03",
            text(key.encode()) + b"q\x04]q\x05(" + b"".join(map(number, labels)) + b"e",
            text(b"data") + b"q\x06",
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08",
            b"K\x00\x85" + text(b"b") + b"\x87Rq\x09(K\x01",
            number(data.shape[0]) + number(data.shape[1]) + b"\x86",
            b"cnumpy\ndtype\nq\n" + text(b"u1") + b"K\x00K\x01\x87Rq\x0b",
            b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + struct.pack("<i", data.size) + data.tobytes() + b"tb",
            text(b"filenames") + b"r\x0c\x00\x00\x00]q\x0d(" + text(b"cat.png") + b"q\x0eeu.",
        ]
    )


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Both data sets, two images in each file."""
    for name, folder in FOLDERS.items():
        (tmp_path / folder).mkdir()
        for number, file in enumerate(FILES[name]):
            content = python2([number, 9], pixels(2, first=number), KEYS[name])
            (tmp_path / folder / file).write_bytes(content)
    return tmp_path


# --- what loads ---------------------------------------------------------------------------------


def test_cifar_loads(name: str, root: Path) -> None:
    loaded = load_dataset(name, root)
    train = FILES[name][:-1]
    assert loaded.train_x.shape == (2 * len(train), 3072)
    assert loaded.test_x.shape == (2, 3072)
    assert loaded.shape == (3, 32, 32)
    assert loaded.classes == {"cifar10": 10, "cifar100": 100}[name]
    assert loaded.train_y.tolist() == [part for n in range(len(train)) for part in (n, 9)]
    assert loaded.test_y.tolist() == [len(train), 9]
    expected = torch.from_numpy(pixels(2, first=len(train))).float() / 255
    assert torch.equal(loaded.test_x, expected)
    for number in range(len(train)):
        part = loaded.train_x[2 * number : 2 * number + 2]
        assert torch.equal(part, torch.from_numpy(pixels(2, first=number)).float() / 255)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_written_again_by_python_3_load(name: str, root: Path, protocol: int) -> None:
    for number, file in enumerate(FILES[name]):
        content = {"data": pixels(3, first=number), KEYS[name]: [number, 0, 5]}
        (root / FOLDERS[name] / file).write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = load_dataset(name, root)
    assert loaded.train_y[:3].tolist() == [0, 0, 5]
    assert torch.equal(loaded.train_x[:3], torch.from_numpy(pixels(3)).float() / 255)


def test_channels_come_one_after_the_other(root: Path) -> None:
    data = np.zeros((1, 3, 32, 32), dtype=np.uint8)
    data[0, 2, 5, 7] = 255  # blue, row 5, column 7
    file = root / FOLDERS["cifar10"] / "test_batch"
    file.write_bytes(python2([0], data.reshape(1, -1), "labels"))
    loaded = load_dataset("cifar10", root)
    assert loaded.test_x.view(1, *loaded.shape).nonzero().tolist() == [[0, 2, 5, 7]]


@needs_real("cifar-10-batches-py")
def test_real_cifar10() -> None:
    loaded = load_dataset("cifar10", REAL_ROOT)
    assert loaded.train_x.shape == (50_000, 3072)
    assert loaded.train_y.bincount().tolist() == [5000] * 10
    assert loaded.test_y.bincount().tolist() == [1000] * 10
    assert loaded.test_y[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]  # cat, ship, ship, plane, ...


# --- what does not ------------------------------------------------------------------------------

IMAGES = pixels(2)


SHAPE = b"K\x02M\x00\x0c\x86"  # of IMAGES, in the published form


def batch(**changes: Any) -> bytes:
    return pickle.dumps({"data": IMAGES, "labels": [0, 1], **changes}, protocol=4)


NO_PICKLE = "is not one of the published pickles ("
NO_PICKLE = "is not one of the published pickles ("
PLAIN = "which plain values do not need); fetch it again"
FETCH = "; fetch it again"
NO_ARRAY = f"holds an array without shape, type or content{FETCH}"
RANGE = "; labels go from 0 to 9: fetch it again"
WITH_FILENAMES = "'batch_label', 'data', 'filenames', 'fine_labels'"


def published(shape: bytes) -> bytes:
    return python2([0, 1], IMAGES, "labels").replace(SHAPE, shape)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", f"is empty (0 bytes){FETCH}"),
    "no pickle": (b"<!DOCTYPE html>", f"{NO_PICKLE}at position 0, opcode b'<' unknown){FETCH}"),
    "text": (b"I1\n.", f"{NO_PICKLE}it has INT at byte 0, {PLAIN}"),
    "protocol 5": (pickle.dumps({"data": IMAGES}, protocol=5), PLAIN),
    "trailing": (batch() + b"12345", f"{NO_PICKLE}it ends 5 bytes before the file does){FETCH}"),
    "numbers of numpy": (
        batch(labels=[np.int64(0)]),
        f"{NO_PICKLE}it names numpy._core.multiarray.scalar, which is never called){FETCH}",
    ),
    "no dictionary": (pickle.dumps([1]), f"holds a list, expected a dictionary{FETCH}"),
    "no data": (
        pickle.dumps({"labels": [1], "x" * 99: 1, 7: 1}),
        f"holds no 'data' but 'labels', '{'x' * 20}': it belongs to another data set",
    ),
    "of cifar100": (
        python2([1, 2], IMAGES, "fine_labels"),
        f"holds no 'labels' but {WITH_FILENAMES}: it belongs to another data set",
    ),
    "nothing in it": (pickle.dumps({}), "holds no 'data' but nothing"),
    "data of another kind": (batch(data=[1]), f"holds a list as 'data', expected an array{FETCH}"),
    "a name as data": (
        b"\x80\x02}(U\x04datacnumpy\nndarray\nU\x06labels]u.",
        f"holds a type as 'data', expected an array{FETCH}",
    ),
    "other images": (
        batch(data=np.zeros((2, 784), np.uint8)),
        f"holds pixels of 2x784, expected samples x 3,072{FETCH}",
    ),
    "four dimensions": (
        batch(data=IMAGES.reshape(2, 3, 32, 32)),
        f"holds pixels of 2x3x32x32, expected samples x 3,072{FETCH}",
    ),
    "no dimensions": (batch(data=np.array(7, np.uint8)), "holds pixels of no dimensions, expected"),
    "by columns": (
        batch(data=np.asfortranarray(IMAGES)),
        f"holds pixels of 2x3072 by columns, expected samples x 3,072{FETCH}",
    ),
    "other type": (
        batch(data=IMAGES.astype(np.float32)),
        f"holds an array of type f4, expected unsigned bytes{FETCH}",
    ),
    "fewer pixels than promised": (
        published(b"K\x03M\x00\x0c\x86"),
        f"holds 6,144 pixels, its shape of 3 x 3,072 promises 9,216: it is damaged{FETCH}",
    ),
    "a shape of text": (published(b"U\x012M\x00\x0c\x86"), NO_ARRAY),
    "an array of nothing": (b"\x80\x02}(U\x04datacnumpy\nndarray\n)RU\x06labels]u.", NO_ARRAY),
    "objects": (batch(data=np.array([{}], dtype=object)), NO_ARRAY),
    "fewer labels": (
        batch(labels=[0]),
        "holds 1 labels for 2 images; every image needs",
    ),
    "label too large": (batch(labels=[0, 10]), f"holds label 10 at position 1{RANGE}"),
    "label below 0": (batch(labels=[-1, 0]), f"holds label -1 at position 0{RANGE}"),
    "label of truth": (batch(labels=[True, 0]), "holds a bool as label at position 0"),
    "label of text": (batch(labels=["cat", 0]), "holds a str as label at position 0"),
    "labels in a tuple": (batch(labels=(0, 1)), "holds a tuple of labels, expected a list"),
}


@pytest.fixture
def file(root: Path) -> Path:
    """One of the files of CIFAR-10."""
    return root / FOLDERS["cifar10"] / "test_batch"


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file(root: Path, file: Path, case: str) -> None:
    content, message = DAMAGED[case]
    file.write_bytes(content)
    text = refusal("cifar10", root)
    assert text.startswith(f"{file} ")
    assert message in text


@pytest.mark.parametrize("write", [python2, lambda *_: batch()], ids=["published", "protocol 4"])
def test_truncated_anywhere(root: Path, file: Path, write: Callable[..., bytes]) -> None:
    whole = write([0, 1], IMAGES, "labels")
    for size in [*range(1, 200), *range(200, len(whole), 997), len(whole) - 1]:
        file.write_bytes(whole[:size])
        text = refusal("cifar10", root)
        assert text.startswith(f"{file} {NO_PICKLE}")
        assert text.endswith("; fetch it again")


def test_every_byte_may_be_wrong(file: Path) -> None:
    """Whatever is flipped, there is a value or a refusal, nothing else."""
    whole = python2([0, 1], IMAGES[:, :8], "labels")
    for position in range(len(whole)):
        for wrong in (0, 40, 46, 82, 98, 99, 113, 114, 128, 255):
            file.write_bytes(whole[:position] + bytes([wrong]) + whole[position + 1 :])
            with suppress(ConfigurationError):
                cifar._read_file(file, "labels", 10)


@pytest.mark.parametrize("kind", ["missing", "folder", "permission", "large"])
def test_file_that_cannot_be_read(
    root: Path, file: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "missing":
        file.unlink()
        expected = f"dataset 'cifar10': {file.parent} holds no test_batch; it needs data_batch_1, "
    elif kind == "folder":
        file.unlink()
        file.mkdir()
        expected = f"{file} is not a regular file"
    elif kind == "large":
        os.truncate(file, 1 << 29)  # sparse
        expected = f"{file} holds 536,870,912 bytes, more than the 268,435,456 that it may hold"
    else:
        # Replaced, not chmod: permissions do not stop root, whom containers run tests as.
        def refuse(self: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
        expected = f"{file.parent / 'data_batch_1'} cannot be read: permission denied; make it"
    assert refusal("cifar10", root).startswith(expected)


# --- hostile pickles ----------------------------------------------------------------------------


class Calls:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, print, getattr, np.load, bytearray])
def test_nothing_is_called(root: Path, file: Path, function: Any, protocol: int) -> None:
    witness = root / "witness"
    argument = f"touch {witness}" if function is os.system else f"open({str(witness)!r}, 'w')"
    content = pickle.dumps({"data": Calls(function, argument), "labels": [0]}, protocol=protocol)
    file.write_bytes(content)
    assert refusal("cifar10", root).startswith(f"{file} {NO_PICKLE}it ")
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cos\nsystem\nU\x04true\x85R.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x02cnumpy\nndarray.__new__\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
        b"\x80\x04K\x01\x8c\x06system\x93.",
        b"\x80\x02(S'true'\nios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nU\x04trueo.",  # OBJ
        b"\x80\x02cos\nsystem\nU\x04true\x85\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1, a function by number
        b"\x80\x02U\x01xQ.",  # a persistent id
        b"\x80\x02U\x04trueR.",
        b"\x80\x02U\x01xU\x04true\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00zip\x86R.",
        b"\x80\x02}U\x01a}b.",
        b"\x80\x02cnumpy\nndarray\n}U\x01xK\x01sb.",  # would change what stands in for it
        b"\x80\x02c_codecs\nencode\nN}U\x01xK\x01s\x86b.",
        b"\x80\x02c" + b"a" * 1000 + b"\nb\n.",
        b"\x80\x02.",
        b"\x80\x02e.",
        b"\x80\x02Nh\x07.",
        b"\x80\x02NNa.",
        b"\x80\x02](NNu.",
        b"\x80\x02}(Nu.",
        b"\x80\x02}]Ns.",  # a list as a key
    ],
)
def test_names_and_calls_are_refused(root: Path, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    text = refusal("cifar10", root)
    assert text.startswith(f"{file} {NO_PICKLE}")
    assert len(text) < 500


NESTED = b"\x80\x02K\x00" + b"\x85" * 100_000
BOMBS = {
    "memo": b"\x80\x02Nr\xff\xff\xff\xff.",  # Python would make room for 8,589,934,590 values
    "memo again": b"\x80\x02" + b"Nr\xff\xff\xff\xff0" * 1000,
    "bytes": b"\x80\x02T\xff\xff\xff\x7fshort",
    "text": b"\x80\x02X\xff\xff\xff\xffshort",
    "frame": b"\x80\x04\x95" + b"\xff" * 8,
    "array": python2([0], IMAGES[:1], "labels").replace(
        b"K\x01M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86"
    ),
    "array of numpy": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"J\xff\xff\xff\x7f\x85U\x01b\x87R."
    ),
    "laughs": b"\x80\x02]q\x00"
    + b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(60))
    + b".",
    "laughs as a key": b"\x80\x02}K\x00q\x00"
    + b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    + b"Ns.",
    # A million deep, Python crashes when it hashes it.
    "a tuple as a key": b"\x80\x02}" + NESTED[2:] + b"Ns.",
    "a tuple": NESTED + b".",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "more than any data set needs": b"\x80\x02" + b"]" * 1_100_000,
    "deep lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_do_not_go_off(root: Path, file: Path, case: str) -> None:
    file.write_bytes(BOMBS[case])
    tracemalloc.start()
    try:
        text = refusal("cifar10", root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text.startswith(f"{file} ")
    assert len(text) < 500
    assert peak < 20e6


def test_the_interpreter_is_left_alone(root: Path, file: Path) -> None:
    before = set(sys.modules)
    file.write_bytes(b"\x80\x02cantigravity\nfly\n.")
    assert "it names antigravity.fly, which is never called" in refusal("cifar10", root)
    assert "antigravity" not in set(sys.modules) - before
