"""CIFAR-10 and CIFAR-100: colour images, from the pickles of the "python version" as published.

They lie in ``cifar-10-batches-py`` and ``cifar-100-python`` below the data root. A sample is 1,024
red, then 1,024 green, then 1,024 blue pixels, each row by row, as in the files: channel-major,
(3, 32, 32). Pixels are divided by 255 and nothing else. CIFAR-100's labels are the hundred fine
ones; the twenty coarse ones in the same files are not used.

Pickles are programs. Before one of these is run, the size of the file and every instruction in it
are checked (`_check_instructions`); while it runs, the few names of numpy that it needs are
replaced by classes that store their arguments, and every other name is refused (`_Unpickler`). So
nothing outside of this module is called; then types, shapes and labels are checked.

Shape suffixes: S samples, F features.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.data.files import (
    AGAIN,
    check_labels,
    data_folder,
    fail,
    find_files,
    read_whole,
)

SHAPE = (3, 32, 32)
FEATURES = 3 * 32 * 32
MOST_BYTES = 1 << 28
"""Most that a file may hold; the largest published one, of CIFAR-100, holds about 155 million."""
MOST_INSTRUCTIONS = 1_000_000
"""50,000 images with two labels and a name each, the largest published file, take 200,000."""
MOST_STRUCTURE = 32
"""Most tuples, names, calls and repeated values; one array takes 13."""
_PLAIN = re.compile(
    "PROTO|FRAME|MARK|STOP|NONE|NEW(TRUE|FALSE)|BININT[12]?|(SHORT_)?BIN(STRING|BYTES|UNICODE)"
    "|EMPTY_(DICT|LIST|TUPLE)|APPENDS?|SETITEMS?|(LONG_)?BINPUT|MEMOIZE"
)
_STRUCTURE = re.compile("(STACK_)?GLOBAL|REDUCE|BUILD|TUPLE[123]?|(LONG_)?BINGET")

_CLASSES = {"cifar10": 10, "cifar100": 100}
_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_FILES = {
    "cifar10": (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    "cifar100": ("train", "test"),
}
_KEYS = {"cifar10": "labels", "cifar100": "fine_labels"}
_SUMMARIES = {
    "cifar10": "photographs of 10 kinds of things, 32x32 colour pixels in [0, 1]",
    "cifar100": "photographs of 100 kinds of things, in the form of cifar10",
}
INFOS = tuple(
    DatasetInfo(
        name=name,
        summary=summary,
        features=FEATURES,
        classes=_CLASSES[name],
        train_samples=50_000,
        test_samples=10_000,
        needs_data_root=True,
        source=f"Krizhevsky 2009; the python version in {_FOLDERS[name]}",
        licence="none stated",
    )
    for name, summary in _SUMMARIES.items()
)


def load(name: str, data_root: Path | None) -> Dataset:
    """Read CIFAR-10 or CIFAR-100.

    Args:
        name: ``cifar10`` or ``cifar100``.
        data_root: What the user named.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable, damaged or hostile.
    """
    classes = _CLASSES[name]
    folder = data_folder(name, data_root, _FOLDERS[name])
    *train, test = find_files(name, folder, _FILES[name])
    train_x, train_y = _load_half(train, _KEYS[name], classes)
    test_x, test_y = _load_half([test], _KEYS[name], classes)
    return Dataset(name, train_x, train_y, test_x, test_y, classes, SHAPE)


def _load_half(paths: list[Path], key: str, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One half from its files; float32 is four times as large as they are and made only once."""
    parts = [_read_file(path, key, classes) for path in paths]
    y_S = torch.cat([labels_S for _, labels_S in parts])
    x_SF = np.empty((len(y_S), FEATURES), dtype=np.float32)
    start = 0
    for pixels_SF, labels_S in parts:
        np.divide(pixels_SF, np.float32(255), out=x_SF[start : start + len(labels_S)])
        start += len(labels_S)
    return torch.from_numpy(x_SF), y_S


def _read_file(path: Path, key: str, classes: int) -> tuple[np.ndarray, torch.Tensor]:
    """Pixels as they are in a file, uint8, (samples, features), and their labels, in range."""
    content = _read_pickle(path)
    if not isinstance(content, dict):
        fail(path, f"holds a {type(content).__name__}, expected a dictionary; {AGAIN}")
    named = {name.decode("latin-1"): it for name, it in content.items() if isinstance(name, bytes)}
    named |= {name: it for name, it in content.items() if isinstance(name, str)}
    for needed in ("data", key):
        if needed not in named:
            found = ", ".join(repr(name[:20]) for name in sorted(named)[:8]) or "nothing"
            fail(path, f"holds no {needed!r} but {found}: it belongs to another data set")
    pixels_SF = _pixels(path, named["data"])
    return pixels_SF, _labels(path, named[key], len(pixels_SF), classes)


def _pixels(path: Path, array: object) -> np.ndarray:
    if not isinstance(array, _Array):
        fail(path, f"holds a {type(array).__name__} as 'data', expected an array; {AGAIN}")
    match array.state:
        case (_, tuple(shape), _ElementType(code=str(code)), bool(fortran), bytes(payload)) if all(
            type(extent) is int for extent in shape
        ):
            pass
        case _:
            fail(path, f"holds an array without shape, type or content; {AGAIN}")
    if code not in ("u1", "|u1"):
        fail(path, f"holds an array of type {code[:20]}, expected unsigned bytes; {AGAIN}")
    if len(shape) != 2 or shape[1] != FEATURES or fortran:
        order = " by columns" if fortran else ""
        found = "x".join(map(str, shape[:4])) or "no dimensions"
        fail(path, f"holds pixels of {found}{order}, expected samples x {FEATURES:,}; {AGAIN}")
    if len(payload) != shape[0] * FEATURES:
        fail(
            path,
            f"holds {len(payload):,} pixels, its shape of {shape[0]:,} x {FEATURES:,} "
            f"promises {shape[0] * FEATURES:,}: it is damaged; {AGAIN}",
        )
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


def _labels(path: Path, labels: object, samples: int, classes: int) -> torch.Tensor:
    if not isinstance(labels, list):
        fail(path, f"holds a {type(labels).__name__} of labels, expected a list; {AGAIN}")
    for position, label in enumerate(labels):
        if type(label) is not int:
            fail(path, f"holds a {type(label).__name__} as label at position {position}; {AGAIN}")
    y_S = torch.tensor(labels, dtype=torch.int64)
    check_labels(path, y_S, samples, classes)
    return y_S


class _Array:
    """Replaces numpy's array: stores a pickle's description of it, unchecked.

    numpy itself would allocate any given shape, and trust what follows.
    """

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _ElementType:
    """Replaces numpy's data type; its state is byte order and alignment, unused for bytes."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Python's own, except that names of a file are compared with a list and never looked up."""

    _STAND_INS: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _ElementType,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,  # where it is since numpy 2
        ("_codecs", "encode"): str.encode,  # how Python 3 writes bytes in protocol 2
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self._STAND_INS[module_name, global_name]
        except KeyError:
            name = f"{module_name}.{global_name}"[:100]
            raise pickle.UnpicklingError(f"it names {name}, which is never called") from None


def _read_pickle(path: Path) -> object:
    """The content of a pickle; strings of Python 2 stay bytes, since their encoding is unknown."""
    content = read_whole(path, MOST_BYTES)
    try:
        _check_instructions(content)
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged pickles fail in every way that there is
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        fail(path, f"is not one of the published pickles ({problem}); {AGAIN}")


def _check_instructions(content: bytes) -> None:
    """Refuse instructions that plain values and one array do not need, before a pickle is run.

    Strings must be as long as announced. No memo index may exceed the number of earlier entries:
    Python allocates the memo at once, 64 GiB for a file of nine bytes. Tuples are limited, because
    hashing one takes stack in proportion to its depth and time in proportion to its branches. The
    number of instructions bounds everything else.

    Raises:
        ValueError: The pickle is of another form, truncated, or followed by something.
    """
    stream = io.BytesIO(content)
    structure = 0
    for number, (code, argument, at) in enumerate(pickletools.genops(stream)):
        if _STRUCTURE.fullmatch(code.name):
            structure += 1
        elif not _PLAIN.fullmatch(code.name):
            raise ValueError(f"it has {code.name} at byte {at:,}, which plain values do not need")
        if number > MOST_INSTRUCTIONS:
            raise ValueError(f"it has more than {MOST_INSTRUCTIONS:,} instructions")
        if structure > MOST_STRUCTURE:
            raise ValueError(f"it has more than {MOST_STRUCTURE} tuples, names, calls and repeats")
        if code.name == "LONG_BINPUT" and int(argument or 0) > number:
            raise ValueError(f"it remembers value {argument:,} at byte {at:,}: there are fewer")
    if trailing := len(content) - stream.tell():
        raise ValueError(f"it ends {trailing:,} bytes before the file does")
