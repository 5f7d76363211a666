"""The device view: the same schedule as straight-line C would run it."""

from trainfit.bench.trace.device.view import Block, DeviceView, device_view

__all__ = ["Block", "DeviceView", "device_view"]
