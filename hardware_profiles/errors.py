"""The error of this folder: a device that does not exist, or an invalid profile."""

from __future__ import annotations


class ProfileError(ValueError):
    """A device name or a device file is wrong.

    The message is one line: file, key, what is wrong, what would be right.
    """
