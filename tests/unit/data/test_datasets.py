"""Data sets: what loads, what is refused and in which words, and what is the same every time."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.data.shared import REAL_ROOT, needs_real, refusal
from trainfit._limits import MOST_GENERATED
from trainfit._text import shown
from trainfit.algorithms import data
from trainfit.algorithms.data import (
    DATA_ROOT_VARIABLE,
    Dataset,
    absent_classes,
    batches,
    check_dataset,
    check_fits,
    dataset_names,
    describe_datasets,
    load_dataset,
)
from trainfit.algorithms.errors import ConfigurationError

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)


def image_bytes(count: int, side: int = 28) -> bytes:
    pixels = bytes(i % 256 for i in range(count * side * side))
    return struct.pack(">4I", 0x803, count, side, side) + pixels


def label_bytes(*labels: int) -> bytes:
    return struct.pack(">2I", 0x801, len(labels)) + bytes(labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny MNIST: 12 training and 3 test images."""
    return write_idx(tmp_path / FOLDERS["mnist"])


def write_idx(folder: Path, *, packed: bool = False) -> Path:
    folder.mkdir(parents=True)
    for name, content in {
        TRAIN_IMAGES: image_bytes(12),
        TRAIN_LABELS: label_bytes(*range(10), 0, 1),
        TEST_IMAGES: image_bytes(3),
        TEST_LABELS: label_bytes(7, 8, 9),
    }.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def centroid_accuracy(dataset: Dataset) -> float:
    centroids = torch.stack(
        [dataset.train_x[dataset.train_y == c].mean(0) for c in range(dataset.classes)]
    )
    nearest = torch.cdist(dataset.test_x.double(), centroids.double()).argmin(1)
    return (nearest == dataset.test_y).double().mean().item()


def same_bits(a: Dataset, b: Dataset) -> bool:
    return all(
        torch.equal(getattr(a, part), getattr(b, part))
        for part in ("train_x", "train_y", "test_x", "test_y")
    )


# --- names ------------------------------------------------------------------------------------


def test_names_and_descriptions_agree() -> None:
    assert dataset_names() == [
        "cifar10",
        "cifar100",
        "digits",
        "fashion_mnist",
        "mitbih",
        "mitbih-13x13",
        "mitbih-intra",
        "mitbih-intra-13x13",
        "mnist",
        "synthetic-FEATURES-CLASSES",
    ]
    assert [info.name for info in describe_datasets()] == dataset_names()
    assert all(info.summary and info.source and info.licence for info in describe_datasets())


def test_descriptions_agree_with_what_loads() -> None:
    info = next(info for info in describe_datasets() if info.name == "digits")
    loaded = load_dataset("digits", None)
    assert (info.features, info.classes) == (loaded.features, loaded.classes)
    assert (info.train_samples, info.test_samples) == (len(loaded.train_x), len(loaded.test_x))


def test_unknown_name_suggests_near_ones() -> None:
    assert refusal("digit") == "unknown dataset 'digit'; did you mean digits?"
    assert f"known: {', '.join(dataset_names())}" in refusal("?")


# --- digits -----------------------------------------------------------------------------------


def test_digits_shapes_range_and_split() -> None:
    digits = load_dataset("digits", None)
    assert digits.train_x.shape == (1437, 64)
    assert digits.test_x.shape == (360, 64)
    assert (digits.features, digits.classes) == (64, 10)
    assert (digits.train_x.min(), digits.train_x.max()) == (0, 1)
    # All 1,797 images differ, so a sample in both halves would be missing here.
    assert len(torch.unique(torch.cat([digits.train_x, digits.test_x]), dim=0)) == 1797
    test = digits.test_y.bincount()
    expected = (test + digits.train_y.bincount()) * 360 / 1797
    assert ((test - expected).abs() <= 1).all()


def test_digits_split_is_the_same_every_time() -> None:
    first = load_dataset("digits", None)
    torch.manual_seed(99)
    assert same_bits(first, load_dataset("digits", None))
    assert first.test_y[:12].tolist() == [7, 6, 3, 7, 7, 3, 2, 8, 9, 3, 2, 6]


# --- mnist ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_idx_data_sets_load(tmp_path: Path, name: str, packed: bool) -> None:
    write_idx(tmp_path / FOLDERS[name], packed=packed)
    loaded = load_dataset(name, tmp_path)
    assert loaded.name == name
    assert loaded.train_x.shape == (12, 784)
    assert loaded.train_y.tolist() == [*range(10), 0, 1]
    assert loaded.test_y.tolist() == [7, 8, 9]
    expected = torch.arange(12 * 784).remainder(256).float().div(255).reshape(12, 784)
    assert torch.equal(loaded.train_x, expected)


def test_unpacked_file_is_preferred(folder: Path, tmp_path: Path) -> None:
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(b"not looked at")
    assert len(load_dataset("mnist", tmp_path).train_x) == 12


def test_data_root_from_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path))
    assert len(load_dataset("mnist", None).train_x) == 12
    # What is said outright wins.
    assert "does not exist" in refusal("mnist", tmp_path / "other")
    monkeypatch.setenv(DATA_ROOT_VARIABLE, "")
    assert "is read from files" in refusal("mnist")


@needs_real("MNIST/raw")
def test_real_mnist() -> None:
    mnist = load_dataset("mnist", REAL_ROOT)
    assert mnist.train_x.shape == (60_000, 784)
    assert mnist.test_x.shape == (10_000, 784)
    assert mnist.train_y.bincount().tolist()[:3] == [5923, 6742, 5958]
    assert mnist.train_x.max() == 1


ADVICE = (
    "pass --data-root DIR or set TRAINFIT_DATA_ROOT to the folder that holds MNIST/raw/...; "
    "'trainfit download mnist --data-root DIR' fetches it"
)


def test_no_data_root() -> None:
    assert refusal("mnist") == f"dataset 'mnist' is read from files; {ADVICE}"


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("nowhere", "data root {root} does not exist"),
        ("file", "data root {root} is not a directory"),
        (".", "folder {root}/MNIST/raw does not exist"),
    ],
)
def test_data_root_that_is_none(
    tmp_path: Path, root: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    expected = f"dataset 'mnist': {problem.format(root=tmp_path / root)}; {ADVICE}"
    assert refusal("mnist", tmp_path / root) == expected
    assert refusal("mnist", Path(root)) == expected  # a relative one is shown in full


UNREADABLE = [
    (PermissionError(13, "Permission denied"), "permission denied"),
    (OSError(5, "Input/output error"), "Input/output error"),
]


@pytest.mark.parametrize(("error", "words"), UNREADABLE)
def test_unreadable(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    # Replaced, not chmod: permissions do not stop root, whom containers run tests as.
    def refuse(*args: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        expected = f"{folder / TRAIN_LABELS} cannot be read: {words}"
        assert refusal("mnist", tmp_path).removesuffix("; make it readable") == expected
    monkeypatch.setattr("trainfit.algorithms.data.files.os.listdir", refuse)
    expected = f"dataset 'mnist': data root {tmp_path} cannot be read: {words}; {ADVICE}"
    assert refusal("mnist", tmp_path) == expected


def test_file_missing(folder: Path, tmp_path: Path) -> None:
    (folder / TEST_LABELS).unlink()
    assert refusal("mnist", tmp_path) == (
        f"dataset 'mnist': {folder} holds no {TEST_LABELS} or {TEST_LABELS}.gz; "
        f"it needs {TRAIN_IMAGES}, {TRAIN_LABELS}, {TEST_IMAGES}, {TEST_LABELS}"
    )


# --- damaged IDX files: content, message behind the path ----------------------------------------

IMAGES = image_bytes(12)
LABELS = label_bytes(*range(10), 0, 1)
HUGE = struct.pack(">4I", 0x803, 0xFFFFFFFF, 28, 28) + b"few"
CUT = "the file is truncated; fetch it again"
TRAILING = "bytes trail behind the last element; fetch it again"
MAGIC = "but the magic number of unsigned bytes in"
DAMAGED_IMAGES = {
    "truncated": (IMAGES[:1234], f"holds 1,234 bytes, its header promises 9,424: {CUT}"),
    "only a header": (IMAGES[:16], f"holds 16 bytes, its header promises 9,424: {CUT}"),
    "huge promise": (HUGE, f"holds 19 bytes, its header promises 3,367,254,359,296: {CUT}"),
    "part of a header": (IMAGES[:7], f"holds 7 bytes, its header alone takes 16: {CUT}"),
    "empty": (b"", "is empty (0 bytes); fetch it again"),
    "labels": (
        LABELS,
        f"starts with 0x00000801, {MAGIC} 3 dimensions is 0x00000803: it is another file; fetch",
    ),
    "other images": (
        image_bytes(12, side=32),
        "holds elements of 32x32, expected 28x28: it belongs to another data set",
    ),
    "gz truncated": (gzip.compress(IMAGES)[:-20], f"ends within its gzip stream: {CUT}"),
    "gz of a truncated file": (
        gzip.compress(IMAGES[:1234]),
        f"holds 1,234 bytes once decompressed, its header promises 9,424: {CUT}",
    ),
}
DAMAGED_LABELS = {
    "part of a magic number": (LABELS[:3], f"holds 3 bytes, its header alone takes 8: {CUT}"),
    "trailing": (LABELS + b"12345", f"holds 25 bytes, its header promises 20: {TRAILING}"),
    "images": (
        IMAGES,
        f"starts with 0x00000803, {MAGIC} 1 dimension is 0x00000801: it is another file; fetch it",
    ),
    "packed without its ending": (
        gzip.compress(LABELS, mtime=0),
        f"starts with 0x1f8b0800, {MAGIC} 1 dimension is 0x00000801: it is another file; "
        "it is gzip: add .gz to its name",
    ),
    "label out of range": (
        label_bytes(*range(11), 1),
        "holds label 10 at position 10; labels go from 0 to 9: fetch it again",
    ),
    "gz of too much": (
        gzip.compress(LABELS + b"12345"),
        f"holds at least 21 bytes once decompressed, its header promises 20: {TRAILING}",
    ),
    "gz trailing": (
        gzip.compress(LABELS) + b"12345",
        "is not intact gzip (Not a gzipped file (b'12')); fetch it again",
    ),
    "gz checksum": (
        gzip.compress(LABELS)[:-8] + bytes(8),
        "is not intact gzip (CRC check failed",
    ),
    "gz stream": (
        gzip.compress(LABELS)[:10] + b"\xff" * 20,
        "is not intact gzip (Error -3",
    ),
    "gz in name only": (
        b"<!DOCTYPE html>",
        "is not intact gzip (Not a gzipped file (b'<!')); fetch it again",
    ),
    "gz empty": (b"", "is empty (0 bytes); fetch it again"),
    "gz of nothing": (
        gzip.compress(b""),
        "is empty (0 bytes once decompressed); fetch it again",
    ),
}
DAMAGED = [
    (name, case)
    for name, cases in ((TRAIN_IMAGES, DAMAGED_IMAGES), (TRAIN_LABELS, DAMAGED_LABELS))
    for case in cases
]


@pytest.mark.parametrize(("name", "case"), DAMAGED)
def test_damaged_file(folder: Path, tmp_path: Path, name: str, case: str) -> None:
    content, message = (DAMAGED_IMAGES if name == TRAIN_IMAGES else DAMAGED_LABELS)[case]
    file = folder / (f"{name}.gz" if case.startswith("gz ") else name)
    (folder / name).unlink()
    file.write_bytes(content)
    assert refusal("mnist", tmp_path).startswith(f"{file} {message}")


def test_directory_in_place_of_a_file(folder: Path, tmp_path: Path) -> None:
    (folder / TRAIN_IMAGES).unlink()
    (folder / TRAIN_IMAGES).mkdir()
    assert refusal("mnist", tmp_path) == f"{folder / TRAIN_IMAGES} is not a regular file"


def test_images_and_labels_differ_in_number(folder: Path, tmp_path: Path) -> None:
    (folder / TEST_LABELS).write_bytes(label_bytes(1, 2))
    assert refusal("mnist", tmp_path) == (
        f"{folder / TEST_LABELS} holds 2 labels for 3 images; every image needs one: "
        "fetch images and labels again"
    )


def test_no_images_at_all(folder: Path, tmp_path: Path) -> None:
    (folder / TEST_IMAGES).write_bytes(image_bytes(0))
    (folder / TEST_LABELS).write_bytes(label_bytes())
    assert refusal("mnist", tmp_path) == (
        "dataset 'mnist': test_x has no samples; at least 1 is needed"
    )


def test_reading_does_not_unpickle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("unpickled while loading")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    for name in ("mnist", "digits", "synthetic-4-2"):
        load_dataset(name, tmp_path)


# --- synthetic --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(784, 10), (1, 2), (1, 10), (3, 50), (64, 300), (70, 2000)])
def test_synthetic_is_learnable(shape: tuple[int, int]) -> None:
    features, classes = shape
    dataset = load_dataset(f"synthetic-{features}-{classes}", None)
    assert dataset.train_x.shape == (2000, features)
    assert dataset.test_x.shape == (500, features)
    assert dataset.classes == classes
    assert dataset.train_x.min() >= 0
    assert dataset.train_x.max() <= 1
    counts = dataset.train_y.bincount(minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert centroid_accuracy(dataset) > 0.8


def test_synthetic_centres_that_fall_together() -> None:
    assert load_dataset("synthetic-1-2000", None).classes == 2000


def test_synthetic_data_may_be_shaped_like_images() -> None:
    flat, shaped = (load_dataset(f"synthetic-{form}-4", None) for form in ("48", "3x4x4"))
    assert (flat.shape, shaped.shape) == ((1, 1, 48), (3, 4, 4))
    assert torch.equal(flat.train_x, shaped.train_x)
    assert torch.equal(flat.test_y, shaped.test_y)


def test_of_large_images_there_are_fewer() -> None:
    large = load_dataset("synthetic-3x160x160-10", None)
    assert (len(large.train_x), len(large.test_x)) == (1300, 325)
    assert large.train_x.nbytes + large.test_x.nbytes <= MOST_GENERATED


def test_a_large_image_of_each_of_many_classes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use at most 59,652 features for 1,000 classes"):
        load_dataset("synthetic-3x224x224-1000", None)


def test_synthetic_has_the_same_bits_every_time() -> None:
    first = load_dataset("synthetic-20-4", None)
    torch.manual_seed(99)
    assert same_bits(first, load_dataset("synthetic-20-4", None))
    digest = hashlib.sha256(first.train_x.numpy().tobytes()).hexdigest()
    assert digest.startswith("3cca7d5095bbbb66")


@pytest.mark.parametrize(
    "name",
    [
        "synthetic",
        "synthetic-784",
        "synthetic-784-10-3",
        "synthetic-3x32-10",
        "synthetic-3x32x32x2-10",
        "synthetic-0-10",
        "synthetic--1-10",
        "synthetic-7.5-10",
        "synthetic-FEATURES-CLASSES",
        "synthetic-\u0661-10",
        "synthetic-64-10\n",
        f"synthetic-{'9' * 5000}-10",
    ],
)
def test_synthetic_name_malformed(name: str) -> None:
    assert refusal(name) == (
        f"dataset {shown(name)} is not of the form synthetic-FEATURES-CLASSES, or"
        " synthetic-CHANNELSxHEIGHTxWIDTH-CLASSES, with whole numbers from 1 up; for instance"
        " synthetic-784-10"
    )


def test_synthetic_sizes_that_cannot_be() -> None:
    assert "300,000 features are too many to generate; at most 200,000" in refusal(
        "synthetic-300000-10"
    )
    assert "1 classes; needs 2 to 2,000, one training sample each" in refusal("synthetic-8-1")
    assert "2,001 classes; needs 2 to 2,000" in refusal("synthetic-8-2001")


# --- check_dataset ----------------------------------------------------------------------------


@pytest.fixture
def small() -> Dataset:
    return Dataset(
        "small",
        torch.linspace(0, 1, 12).reshape(6, 2),
        torch.tensor([0, 1, 2, 0, 1, 2]),
        torch.zeros(2, 2),
        torch.tensor([0, 2]),
        3,
        (1, 1, 2),
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("digits", (1, 8, 8)),
        ("mnist", (1, 28, 28)),
        ("fashion_mnist", (1, 28, 28)),
        ("synthetic-5-3", (1, 1, 5)),
    ],
)
def test_loaded_tensors_are_as_promised(
    name: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    for inside in FOLDERS.values():
        write_idx(tmp_path / inside)
    loaded = load_dataset(name, tmp_path)
    check_dataset(loaded)
    assert loaded.shape == shape
    assert loaded.note == ""
    for x in (loaded.train_x, loaded.test_x):
        assert x.dtype == torch.float32
        assert x.is_contiguous()
    for y in (loaded.train_y, loaded.test_y):
        assert y.dtype == torch.int64


def check_refusal(dataset: Dataset) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_dataset(dataset)
    return str(caught.value)


def test_check_accepts(small: Dataset) -> None:
    check_dataset(small)


def test_check_names_values_that_are_not_finite(small: Dataset) -> None:
    small.train_x[4, 1] = float("nan")
    small.train_x[5, 0] = float("-inf")
    assert check_refusal(small) == (
        "dataset 'small': train_x holds 2 values that are NaN or infinite, the first in "
        "sample 4, feature 1; all must be finite"
    )


@pytest.mark.parametrize("label", [-1, 3])
def test_check_names_labels_outside(small: Dataset, label: int) -> None:
    small.test_y[1] = label
    assert check_refusal(small) == (
        f"dataset 'small': test_y holds label {label} at sample 1; 3 classes have labels "
        "from 0 to 2"
    )


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("classes", 1, "needs at least 2 classes, has 1"),
        ("test_x", torch.zeros(2, 3), "train_x has 2 features but test_x has 3"),
        ("test_x", torch.zeros(0, 2), "test_x has no samples; at least 1 is needed"),
        ("train_y", torch.zeros(0, dtype=torch.int64), "train_y has no samples"),
        ("train_x", torch.zeros(6, 0), "train_x has no features"),
        ("test_y", torch.tensor([0]), "test_x has 2 samples but test_y has 1 labels"),
        ("train_x", torch.zeros(2, 6).T, "train_x is not contiguous; call .contiguous()"),
        (
            "train_x",
            torch.zeros(6, 2, dtype=torch.float64),
            "train_x is torch.float64 of shape (6, 2); expected torch.float32 of shape "
            "(samples, features)",
        ),
        (
            "train_x",
            torch.zeros(6, 1, 2),
            "train_x is torch.float32 of shape (6, 1, 2); expected torch.float32",
        ),
        (
            "test_y",
            torch.zeros(2, dtype=torch.int32),
            "test_y is torch.int32 of shape (2,); expected torch.int64 of shape (samples,)",
        ),
        (
            "test_y",
            torch.zeros(2, 1, dtype=torch.int64),
            "expected torch.int64 of shape (samples,)",
        ),
        (
            "shape",
            (1, 2, 2),
            "shape (1, 2, 2) does not flatten to its 2 features; expected (channels, height, "
            "width), for instance (1, 1, 2)",
        ),
        ("shape", (-1, -1, 2), "shape (-1, -1, 2) does not flatten to its 2 features"),
        ("shape", (1, 2), "shape (1, 2) does not flatten to its 2 features"),
    ],
)
def test_check_refuses(small: Dataset, part: str, value: object, message: str) -> None:
    text = check_refusal(replace(small, **{part: value}))
    assert text.startswith("dataset 'small': ")
    assert message in text


def test_load_checks_what_a_loader_returns(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    info = describe_datasets()[0]
    monkeypatch.setitem(data.LOADERS, "small", (info, lambda _: replace(small, classes=2)))
    assert "test_y" in refusal("small") or "train_y" in refusal("small")


def test_absent_classes_are_named_in_order() -> None:
    assert absent_classes(torch.tensor([3, 1, 1]), 5) == [0, 2, 4]
    assert absent_classes(torch.tensor([1, 0]), 2) == []


# --- batches ----------------------------------------------------------------------------------


def take(x: torch.Tensor, y: torch.Tensor, size: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [labels.tolist() for _, labels in batches(x, y, size, generator)]


def test_batches_are_whole_contiguous_and_keep_pairs_together() -> None:
    y = torch.arange(50)
    x = torch.stack([y.float(), -y.float()], dim=1)
    taken = list(batches(x, y, 8, torch.Generator().manual_seed(0)))
    assert len(taken) == 6
    for part_x, part_y in taken:
        assert part_x.shape == (8, 2)
        assert part_x.is_contiguous()
        assert torch.equal(part_x[:, 0], part_y.float())
        assert torch.equal(part_x[:, 1], -part_y.float())
    seen = torch.cat([part_y for _, part_y in taken])
    assert len(seen.unique()) == 48


def test_batches_are_shuffled_and_deterministic() -> None:
    y = torch.arange(50)
    x = torch.zeros(50, 1)
    assert take(x, y, 10, seed=1) == take(x, y, 10, seed=1)
    assert take(x, y, 10, seed=1) != take(x, y, 10, seed=2)
    order = [label for batch in take(x, y, 10, seed=1) for label in batch]
    assert order != list(range(50))
    assert sorted(order) == list(range(50))


def test_batches_of_the_next_epoch_differ() -> None:
    x, y = torch.zeros(50, 1), torch.arange(50)
    generator = torch.Generator().manual_seed(0)
    first, second = ([b.tolist() for _, b in batches(x, y, 50, generator)] for _ in range(2))
    assert first != second


def test_batches_refuse_at_once() -> None:
    x, y = torch.zeros(5, 1), torch.arange(5)
    with pytest.raises(ConfigurationError, match="batch size must be at least 1, is 0"):
        batches(x, y, 0, torch.Generator())
    with pytest.raises(ConfigurationError, match="6 is larger than the 5 samples; use at most 5"):
        batches(x, y, 6, torch.Generator())
    assert len(list(batches(x, y, 5, torch.Generator()))) == 1


# --- check_fits -------------------------------------------------------------------------------


def fit_refusal(dataset: Dataset, inputs: int, classes: int, size: int, model: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_fits(dataset, inputs, classes, size, model)
    return str(caught.value)


def test_fits(small: Dataset) -> None:
    check_fits(small, 2, 3, 1, "mlp-2-8-3")
    check_fits(small, 2, 3, 6, "mlp-2-8-3")


def test_model_that_does_not_fit() -> None:
    digits = load_dataset("digits", None)
    assert fit_refusal(digits, 784, 10, 32, "mlp-784-500-10") == (
        "model 'mlp-784-500-10' takes 784 inputs but dataset 'digits' has 64 features; "
        "use for instance mlp-64-500-10"
    )
    assert fit_refusal(digits, 64, 5, 32, "mlp-64-20x4-9-5") == (
        "model 'mlp-64-20x4-9-5' has 5 classes but dataset 'digits' has 10; "
        "use for instance mlp-64-20x4-9-10"
    )
    assert fit_refusal(digits, 784, 5, 32, "mlp-784-5") == (
        "model 'mlp-784-5' takes 784 inputs but dataset 'digits' has 64 features and "
        "has 5 classes but dataset 'digits' has 10; use for instance mlp-64-10"
    )


@pytest.mark.parametrize("model", ["mobilenet_v2", "mlp-784x3-10", "mlp-10x3"])
def test_model_whose_name_hides_its_ends(model: str) -> None:
    digits = load_dataset("digits", None)
    assert fit_refusal(digits, 784, 10, 32, model).endswith("use for instance mlp-64-128-10")


@pytest.mark.parametrize("size", [-1, 0, 7])
def test_batch_size_that_does_not_fit(small: Dataset, size: int) -> None:
    assert fit_refusal(small, 2, 3, size, "mlp-2-8-3") == (
        f"batch size {size} does not fit dataset 'small' with its 6 training samples; use 1 to 6"
    )
