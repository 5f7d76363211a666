"""MNIST and Fashion-MNIST: grey images in ten classes, each from four IDX files.

They lie in ``MNIST/raw`` and ``FashionMNIST/raw`` below the data root. Pixels are divided by 255
and nothing else; flattening makes 784 features of 28x28 pixels.

An IDX file is a header of big-endian 32-bit numbers (a magic number that says element type and
number of dimensions, then the extent of each dimension) followed by the elements, here of one byte
each. What the header says is compared with what is there; nothing of the size it promises is
allocated before the bytes have been seen.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.data.files import (
    AGAIN,
    check_file,
    check_labels,
    data_folder,
    fail,
    find_files,
    unreadable,
)

SIDE = 28
CLASSES = 10
_UNSIGNED_BYTES = 0x08
_CHUNK = 1 << 20
_GZIP_START = b"\x1f\x8b"
_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
_ABOUT = {  # what, by whom, licence
    "mnist": ("handwritten digits", "LeCun, Bottou, Bengio and Haffner 1998", "CC BY-SA 3.0"),
    "fashion_mnist": ("articles of clothing", "Xiao, Rasul and Vollgraf 2017 (Zalando)", "MIT"),
}
INFOS = tuple(
    DatasetInfo(
        name=name,
        summary=f"{what}, {SIDE}x{SIDE} grey pixels in [0, 1]",
        features=SIDE * SIDE,
        classes=CLASSES,
        train_samples=60_000,
        test_samples=10_000,
        needs_data_root=True,
        source=f"{authors}; IDX files in {_FOLDERS[name]}",
        licence=licence,
    )
    for name, (what, authors, licence) in _ABOUT.items()
)


def load(name: str, data_root: Path | None) -> Dataset:
    """Read MNIST or Fashion-MNIST.

    Args:
        name: ``mnist`` or ``fashion_mnist``.
        data_root: What the user named.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable or damaged.
    """
    folder = data_folder(name, data_root, _FOLDERS[name])
    paths = find_files(name, folder, _NAMES, endings=("", ".gz"))
    train_x, train_y = _load_half(*paths[:2])
    test_x, test_y = _load_half(*paths[2:])
    return Dataset(name, train_x, train_y, test_x, test_y, CLASSES, (1, SIDE, SIDE))


def _load_half(image_path: Path, label_path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    labels = _read_idx(label_path, ())
    images = _read_idx(image_path, (SIDE, SIDE))
    check_labels(label_path, labels, len(images), CLASSES)
    x = images.reshape(len(images), SIDE * SIDE).to(torch.float32).div_(255.0)
    return x, labels.to(torch.int64)


def _read_idx(path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    """Read a whole IDX file of unsigned bytes.

    Args:
        path: The file; the ending ``.gz`` means that it is compressed.
        shape: Extents of one element along all dimensions but the first: ``(28, 28)`` for images,
            ``()`` for labels.

    Returns:
        uint8, (count, *shape).

    Raises:
        ConfigurationError: The file cannot be read, is damaged, or holds something else.
    """
    data = bytearray()
    size = check_file(path)
    try:
        packed = path.suffix == ".gz"
        with cast("IO[bytes]", gzip.open(path) if packed else path.open("rb")) as file:
            count, header_bytes = _read_header(path, file, shape)
            promised = count * math.prod(shape)
            # One byte more than promised is read: it shows whether anything follows, and
            # reaching the end makes gzip compare its checksum.
            while len(data) <= promised:
                chunk = file.read(min(_CHUNK, promised + 1 - len(data)))
                if not chunk:
                    break
                data += chunk
    except EOFError:
        fail(path, f"ends within its gzip stream: the file is truncated; {AGAIN}")
    except (gzip.BadGzipFile, zlib.error) as error:
        fail(path, f"is not intact gzip ({error}); {AGAIN}")
    except OSError as error:
        unreadable(path, error)
    if len(data) != promised:
        long = len(data) > promised
        held = size if not packed else header_bytes + len(data)
        fail(
            path,
            f"holds {'at least ' if packed and long else ''}{held:,} bytes"
            f"{' once decompressed' if packed else ''}, "
            f"its header promises {header_bytes + promised:,}: "
            f"{'bytes trail behind the last element' if long else 'the file is truncated'}; "
            f"{AGAIN}",
        )
    if not data:  # torch.frombuffer takes no empty buffer
        return torch.empty((0, *shape), dtype=torch.uint8)
    return torch.frombuffer(data, dtype=torch.uint8).reshape(count, *shape)


def _read_header(path: Path, file: IO[bytes], shape: tuple[int, ...]) -> tuple[int, int]:
    """Number of elements along the first dimension, and size of the header in bytes."""
    dimensions = 1 + len(shape)
    size = 4 + 4 * dimensions
    header = file.read(size)
    if not header:
        fail(path, f"is empty (0 bytes once decompressed); {AGAIN}")
    expected = struct.pack(">HBB", 0, _UNSIGNED_BYTES, dimensions)
    if not expected.startswith(header[:4]):
        hint = "it is gzip: add .gz to its name" if header.startswith(_GZIP_START) else AGAIN
        fail(
            path,
            f"starts with 0x{header[:4].hex()}, but the magic number of unsigned bytes in "
            f"{dimensions} dimension{'s' * (dimensions > 1)} is 0x{expected.hex()}: "
            f"it is another file; {hint}",
        )
    if len(header) < size:
        fail(
            path,
            f"holds {len(header)} bytes, its header alone takes {size}: the file is truncated; "
            f"{AGAIN}",
        )
    count, *found = struct.unpack(f">{dimensions}I", header[4:])
    if tuple(found) != shape:
        fail(
            path,
            f"holds elements of {'x'.join(map(str, found))}, "
            f"expected {'x'.join(map(str, shape))}: it belongs to another data set",
        )
    return int(count), size
