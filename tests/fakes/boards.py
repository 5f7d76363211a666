"""Boards that are folders: the sysfs trees of power monitors, with values that a test can change.

Laid out as the kernel's drivers and NVIDIA's device trees have it. Values are rounded as the chips
round them: an INA3221 tells 8 mV apart, and 40 microvolts over its shunt.
"""

from __future__ import annotations


class Rail:
    """One rail: where its files are, and the least power that its chip can tell apart."""

    def __init__(self, files, write, step_watts):
        self.files = files
        self.write = write
        self.step_watts = step_watts


class FakeBoard:
    """Power monitors below a folder that stands for /sys."""

    def __init__(self, root):
        self.root = root
        self.rails = {}
        self._hwmon = 0

    def ina3221(self, address, labels, shunt_milliohm=5, millivolts=4968, interval_ms=None):
        """An INA3221 as hwmon shows it, with the entries beside the three channels."""
        folder = self._folder("ina3221", address)
        for number, label in enumerate(labels, 1):
            put(folder / f"in{number}_label", label)
            put(folder / f"in{number}_enable", 1)
            put(folder / f"in{number}_input", millivolts)
            put(folder / f"curr{number}_input", 0)
            step_ma = 40 / shunt_milliohm

            def write(watts, file=folder / f"curr{number}_input", step_ma=step_ma):
                put(file, round(round(watts * 1e6 / millivolts / step_ma) * step_ma))

            files = [folder / f"in{number}_input", folder / f"curr{number}_input"]
            if label != "NC":
                self.rails[label] = Rail(files, write, step_ma * millivolts / 1e6)
        for number in (4, 5, 6, 7):
            put(folder / f"in{number}_input", 1234)
        put(folder / "in7_label", "sum of shunt voltages")
        put(folder / "curr4_input", 4321)
        if interval_ms is not None:
            put(folder / "update_interval", interval_ms)
        return folder

    def ina238(self, address, label, chip="ina238"):
        """An INA238 as hwmon shows it; without a label where the device tree gives none."""
        folder = self._folder(chip, address)
        put(folder / "in0_input", 3)
        put(folder / "in1_input", 19800)
        put(folder / "curr1_input", 1)
        put(folder / "temp1_input", 41000)
        if label:
            put(folder / "label", label)
        put(folder / "power1_input", 0)
        self.rails[label or chip] = Rail(
            [folder / "power1_input"],
            lambda watts: put(folder / "power1_input", round(watts * 1e6)),
            1e-6,
        )
        return folder

    def iio(self, address, labels):
        """An INA3221 as NVIDIA's driver of L4T r32 shows it, with its second name."""
        chip = self.root / "bus/i2c/drivers/ina3221x" / address
        folder = chip / "iio:device0"
        folder.mkdir(parents=True)
        (chip / "iio_device").symlink_to(folder)
        put(folder / "name", "ina3221x")
        for number, label in enumerate(labels):
            put(folder / f"rail_name_{number}", label)
            put(folder / f"in_voltage{number}_input", 5000)
            put(folder / f"in_current{number}_input", 999)
            file = folder / f"in_power{number}_input"
            put(file, 0)
            self.rails[label] = Rail(
                [file], lambda watts, file=file: put(file, round(watts * 1e3)), 1e-3
            )
        return folder

    def set_watts(self, **watts):
        for rail, value in watts.items():
            self.rails[rail].write(value)

    def follow(self, clock, watts):
        """Let rails draw what functions of time say, as time passes."""
        clock.follow(
            lambda now: self.set_watts(**{rail: draw(now) for rail, draw in watts.items()})
        )

    def _folder(self, chip, address):
        """The chip's own folder, and the link to it that class/hwmon holds."""
        name = f"hwmon{self._hwmon}"
        self._hwmon += 1
        folder = self.root / "devices/platform/i2c" / address / "hwmon" / name
        folder.mkdir(parents=True)
        (self.root / "class/hwmon").mkdir(parents=True, exist_ok=True)
        (self.root / "class/hwmon" / name).symlink_to(folder)
        put(folder / "name", chip)
        return folder


def jetson_nano(root):
    board = FakeBoard(root)
    board.iio("6-0040", ["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"])
    return board


def jetson_xavier_nx(root):
    board = FakeBoard(root)
    board.iio("7-0040", ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"])
    return board


def jetson_orin_nano(root):
    board = FakeBoard(root)
    board._folder("tmp451", "0-004c")  # a chip of another kind
    board.ina3221("1-0040", ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"])
    return board


def jetson_agx_orin(root):
    board = FakeBoard(root)
    board.ina3221("1-0040", ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"], shunt_milliohm=2)
    board.ina3221("1-0041", ["NC", "VDDQ_VDD2_1V8AO", "NC"], shunt_milliohm=2)
    return board


def jetson_agx_thor(root):
    board = FakeBoard(root)
    board.ina3221("2-0040", ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"], shunt_milliohm=2)
    board.ina238("2-0044", "VIN")
    return board


def put(file, value):
    file.write_text(f"{value}\n")


class FakePowercap:
    """The kernel's powercap tree: zones with counters that wrap."""

    def __init__(self, root, range_joules):
        self.root = root / "intel-rapl"
        self.root.mkdir()
        self.range_joules = range_joules
        self.zones = {}

    def zone(self, path, name, joules=0.0):
        """``path`` such as ``intel-rapl:0/intel-rapl:0:0``."""
        folder = self.root / path
        folder.mkdir()
        put(folder / "name", name)
        put(folder / "max_energy_range_uj", round(self.range_joules * 1e6))
        self.zones[path] = folder / "energy_uj"
        self.set_joules(path, joules)

    def set_joules(self, path, joules):
        put(self.zones[path], round(joules % self.range_joules * 1e6))
