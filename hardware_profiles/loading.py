"""From a name or a file to a ``Device``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from trainfit._files import FileError, NoFileError, read_bytes
from trainfit._text import nearest, shown
from trainfit.hardware_profiles.errors import ProfileError
from trainfit.hardware_profiles.parsing import parse_table
from trainfit.hardware_profiles.schema import Device

_SUFFIX = ".toml"


def device_names() -> list[str]:
    """Names of the packaged devices, sorted."""
    folder = resources.files(__package__ or "hardware_profiles")
    return sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in folder.iterdir()
        if entry.name.endswith(_SUFFIX)
    )


def load_device(name_or_path: str) -> Device:
    """A packaged device by its name, or any device by the path of its ``.toml`` file.

    Args:
        name_or_path: A name from ``device_names``, or a path that ends with ``.toml``.

    Raises:
        ProfileError: There is no such device or file, or the file is malformed or contradicts
            itself. The message is one line: file, key, what is wrong, what would be right.
    """
    if name_or_path.endswith(_SUFFIX):
        path = Path(name_or_path)
        try:
            content = read_bytes(path)
        except NoFileError:
            raise ProfileError(
                f"{name_or_path}: no such file; packaged devices are named without {_SUFFIX}:"
                f" {', '.join(device_names())}"
            ) from None
        except FileError as problem:
            raise ProfileError(f"{shown(name_or_path, quoted=False)}: {problem}") from None
        return parse_device(content, name_or_path, stem=path.stem)
    names = device_names()
    if name_or_path not in names:
        raise ProfileError(
            f"unknown device {shown(name_or_path)}; {nearest(name_or_path, names)}"
            f" (or give the path of a {_SUFFIX} file)"
        )
    file = resources.files(__package__ or "hardware_profiles") / f"{name_or_path}{_SUFFIX}"
    return parse_device(file.read_bytes(), f"{name_or_path}{_SUFFIX}", stem=name_or_path)


def parse_device(content: bytes, file: str, *, stem: str) -> Device:
    """A device from the bytes of its file.

    Args:
        content: TOML in UTF-8.
        file: Name of the file in a message.
        stem: The required name of the device.

    Raises:
        ProfileError: As for ``load_device``.
    """
    device = parse_table(Device, content, file)
    if device.name != stem:
        raise ProfileError(
            f"{file}: name: {shown(device.name)} is not the name of the file; write name = {stem!r}"
            f" or name the file {device.name}{_SUFFIX}"
        )
    return device
