"""Where the files of the data sets are published, and how they are known to be the right ones.

Checksums are those that the publishers give, or that the loaders of torchvision, Keras and
TensorFlow Datasets have had for years. For the MIT-BIH records PhysioNet publishes a list of
SHA-256 sums beside the files; it is fetched first, and must agree with the sums that are here.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.data import (
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    mitbih,
    mnist,
    synthetic,
)
from trainfit.algorithms.data.base import DatasetInfo
from trainfit.algorithms.data.wfdb_records import ENDINGS
from trainfit.algorithms.errors import ConfigurationError, unknown_name

_MOST_BYTES = 1 << 28  # of a file whose size is not published; the largest holds 155 million


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        name: Its name, where it is published and where it is kept.
        checksum: ``sha256:`` or ``md5:`` and the digits; None where a fetched list has it.
        size_bytes: Its size; None where it is not published.
    """

    name: str
    checksum: str | None
    size_bytes: int | None = None

    @property
    def most_bytes(self) -> int:
        """Most that is accepted of it."""
        return _MOST_BYTES if self.size_bytes is None else self.size_bytes


@dataclass(frozen=True)
class Source:
    """Where one data set is published.

    Attributes:
        info: The data set.
        base_url: What the names of files are appended to.
        folder: Where the files are kept below the data root.
        files: What has to be there in the end.
        archive: The file that they are members of, below ``folder``; None where each is published
            by itself.
        sums: Name of a list of SHA-256 sums that is published beside the files; None where every
            file has its checksum here.
    """

    info: DatasetInfo
    base_url: str
    folder: str
    files: tuple[RemoteFile, ...]
    archive: RemoteFile | None = None
    sums: str | None = None

    @property
    def size_bytes(self) -> int:
        """What has to be fetched, as far as it is published."""
        fetched = (self.archive,) if self.archive else self.files
        return sum(file.size_bytes or 0 for file in fetched)


_SIGNAL_BYTES = 1_950_000  # 650,000 samples of two leads in 12 bits each
_PINNED = {
    "105.atr": "278d534c1ad952a6d41db963b6b2b00be070d8dd5fa66545caa5c18edcc36497",
    "105.dat": "fcd0153dfea69c749194bb73de7db124588857cfa2f6aecb72754894c8afde02",
    "105.hea": "9a024eebf8e9baf630308815e689d7e3eab471ab0069db6aded127c396418d48",
    "106.atr": "585347e6d1bd3ad89cdb52cb80945878a5e51026d81f871a376bb6e13936f7fa",
    "106.dat": "c017bc18b95b1f970bca143a044ee5d54168648b541e47aa656f2737a59c1202",
    "106.hea": "ad5ed3ee5603926a07a09f0d0c9e2a7ff10a705dbafcde3d185317730a8839ab",
    "119.atr": "fd919c8ea20eed4a22fb37984977f30ce48d382eefd2d90934bf947a88e0fd7b",
    "119.dat": "02a286a28e69b441568add915f16a2856b22bab893bf8729ee9654411ed3a5aa",
    "119.hea": "658f01382d7280a06e2f4c06363569d477394a6898c69ee788bb383f6092df63",
    "200.atr": "f9624a11696760427d75314a78c31f89ca3c446af855890c8f8b66cddd8b3a3f",
    "200.dat": "a9e203b3807b9fcd3647cde03444437cb8eec7f5128a8eb413edafb394272e0f",
    "200.hea": "9e0c2ff5b790cf624deab0ccb8a9f211a9e29a748d8197da3c1ee7c5b596b40c",
    "208.atr": "33878519ee34d00cb233fdb15b11c2b8da0b0aea2e643d31b07105cc3392edf4",
    "208.dat": "22873623623c44ee413a5b60cacb15d4af2723734836fb3ae45d9ff96bdb36e7",
    "208.hea": "5a27efda1bea972440a0b5f40a1c322898693e9602d5ce4722fe750b7dea46e9",
    "213.atr": "44349e22176aad3f688ca9a62f283a993927a0b9ef6d97f473cde3b16cfabc9a",
    "213.dat": "0cb13cd9299b0ab68f8f3064b2ab72f853d155abb277b68daef0a26cbc173b0d",
    "213.hea": "6b64b05c7a28630acf3ffb5e541d635e3fc854ea3602b1b355762f94c6058f17",
    "223.atr": "beaa5cb3eb5fb64a5f9e1dfcac9297f9564b379c9c354cbf8f9f927d9b81ccf1",
    "223.dat": "1d42aa9e13f7349287ae5f0f00b40078c01aadd39e2cad1001ab42d3b7484594",
    "223.hea": "bbd414e57b6eafa53204fb7eeb1212c9d47f598f36e8838b103bfb68a316ca85",
    "233.atr": "c9ce42ecefa9a92e2ec69f9d237d8a53c67c60b31a25d579356ea8910bcc368a",
    "233.dat": "6ccd6b1fa0cafc052369e7ec0a99cc6c3b56b3c12afff26db800c55a826211b4",
    "233.hea": "d5ef73b3b4a98bec6e3d853db08ff18b0a1a9173c95327bcb15b2cfecee99b85",
}


def _record_file(name: str) -> RemoteFile:
    size_bytes = _SIGNAL_BYTES if name.endswith(".dat") else None
    return RemoteFile(name, f"sha256:{_PINNED[name]}" if name in _PINNED else None, size_bytes)


SOURCES = {
    source.info.name: source
    for source in (
        Source(
            cifar10.INFO,
            "https://www.cs.toronto.edu/~kriz/",
            "cifar-10-batches-py",
            (
                RemoteFile("batches.meta", "md5:5ff9c542aee3614f3951f8cda6e48888", 158),
                RemoteFile("data_batch_1", "md5:c99cafc152244af753f735de768cd75f", 31_035_704),
                RemoteFile("data_batch_2", "md5:d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
                RemoteFile("data_batch_3", "md5:54ebc095f3ab1f0389bbae665268c751", 31_035_999),
                RemoteFile("data_batch_4", "md5:634d18415352ddfa80567beed471001a", 31_035_696),
                RemoteFile("data_batch_5", "md5:482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
                RemoteFile("test_batch", "md5:40351d587109b95175f43aff81a1287e", 31_035_526),
            ),
            archive=RemoteFile(
                "cifar-10-python.tar.gz",
                "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
        ),
        Source(
            cifar100.INFO,
            "https://www.cs.toronto.edu/~kriz/",
            "cifar-100-python",
            (
                RemoteFile("meta", "md5:7973b15100ade9c7d40fb424638fde48"),
                RemoteFile("test", "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
                RemoteFile("train", "md5:16019d7e3df5f24257cddd939b257f8d"),
            ),
            archive=RemoteFile(
                "cifar-100-python.tar.gz",
                "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
        ),
        Source(
            fashion_mnist.INFO,
            # The publisher's other address has no https.
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "FashionMNIST/raw",
            (
                RemoteFile(
                    "train-images-idx3-ubyte.gz",
                    "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    26_421_880,
                ),
                RemoteFile(
                    "train-labels-idx1-ubyte.gz",
                    "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    29_515,
                ),
                RemoteFile(
                    "t10k-images-idx3-ubyte.gz",
                    "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    4_422_102,
                ),
                RemoteFile(
                    "t10k-labels-idx1-ubyte.gz",
                    "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                    5_148,
                ),
            ),
        ),
        Source(
            mitbih.INFOS[0],
            "https://physionet.org/files/mitdb/1.0.0/",
            mitbih.FOLDER,
            tuple(
                _record_file(f"{number}.{ending}")
                for number in mitbih.RECORDS
                for ending in ENDINGS
            ),
            sums="SHA256SUMS.txt",
        ),
        Source(
            mnist.INFO,
            # torchvision's mirror; the authors' own site no longer serves the files.
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "MNIST/raw",
            (
                RemoteFile(
                    "train-images-idx3-ubyte.gz",
                    "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    9_912_422,
                ),
                RemoteFile(
                    "train-labels-idx1-ubyte.gz",
                    "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    28_881,
                ),
                RemoteFile(
                    "t10k-images-idx3-ubyte.gz",
                    "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    1_648_877,
                ),
                RemoteFile(
                    "t10k-labels-idx1-ubyte.gz",
                    "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    4_542,
                ),
            ),
        ),
    )
}
"""Name to source, for every data set that is read from files."""


def find_source(name: str) -> Source:
    """The source of a data set, or of the one whose files it is made of.

    Raises:
        ConfigurationError: No such data set, or one that is made without files.
    """
    if name == digits.INFO.name or name.split("-", 1)[0] == synthetic.FAMILY:
        raise ConfigurationError(f"dataset {name!r} needs no files: there is nothing to download")
    if name in {info.name for info in mitbih.INFOS}:
        name = mitbih.INFOS[0].name
    if name not in SOURCES:
        raise unknown_name("download", name, SOURCES)
    return SOURCES[name]
