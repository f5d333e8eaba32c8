"""Small recordings of one made-up cell in every format, and seeded ways to spoil their files."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sts.base.types import Floats
from tests.recordings.abf_files import Abf, Epoch, write_abf1, write_abf2
from tests.recordings.rig_files import write_axograph, write_wcp

RATE_HZ = 10_000.0
ONSET, STEP, SAMPLES = 2_000, 10_000, 14_000
AMPLITUDES_PA = (-50.0, -10.0, 30.0, 70.0, 110.0)
RHEOBASE_PA = 70.0
# What a build must find in the unspoilt files, as far as their converters go.
TRUTH = {"rheobase_pa": 70.0, "step_pa": 110.0}

Rng = np.random.Generator


def current_pa(amplitude_pa: float) -> Floats:
    """Return one step."""
    current = np.zeros(SAMPLES)
    current[ONSET : ONSET + STEP] = amplitude_pa
    return current


def voltage_mv(amplitude_pa: float) -> Floats:
    """Return a passive answer with noise and, from rheobase on, spikes of a millisecond."""
    time_s = (np.arange(SAMPLES) - ONSET) / RATE_HZ
    inside_s, after_s = np.clip(time_s, 0, 1), np.clip(time_s - 1, 0, None)
    voltage = -70 + 0.1 * amplitude_pa * (1 - np.exp(-inside_s / 0.01)) * np.exp(-after_s / 0.01)
    spikes = max(0, round(1 + (amplitude_pa - RHEOBASE_PA) / 20))
    for peak_s in (np.arange(spikes) + 0.5) / max(spikes, 1):
        voltage += 90 * np.exp(-0.5 * ((time_s - peak_s) / 4e-4) ** 2)
    rng = np.random.default_rng(round(amplitude_pa) + 1000)
    return voltage + rng.normal(0, 0.04, SAMPLES)


def write_nwb2(path: Path, *, packed: bool = False) -> Path:
    """Write the cell as MIES does."""
    how = {"compression": "gzip", "shuffle": True, "chunks": (2048,)} if packed else {}
    with h5py.File(path, "w") as file:
        file.attrs.update({"nwb_version": "2.2.4", "neurodata_type": "NWBFile"})
        file["general/session_id"] = "601506492"
        file["general/subject/subject_id"] = "599387254"
        for number, amplitude in enumerate(AMPLITUDES_PA):
            for place, kind, trace, unit, bit in (
                (f"acquisition/data_{number:05d}_AD0", "CurrentClampSeries",
                 voltage_mv(amplitude) * 1e-3, "volts", 4e-6),
                (f"stimulus/presentation/data_{number:05d}_DA0", "CurrentClampStimulusSeries",
                 current_pa(amplitude) * 1e-12, "amperes", 1e-13),
            ):  # fmt: skip
                series = file.create_group(place)
                series.attrs.update({"neurodata_type": kind, "sweep_number": np.uint64(number)})
                stored = np.round(trace / bit).astype(np.int16)
                series.create_dataset("data", data=stored, **how)
                series["data"].attrs.update({"unit": unit, "conversion": bit})
                series["starting_time"] = 1.5 * number
                series["starting_time"].attrs.update({"rate": RATE_HZ, "unit": "seconds"})
    return path


def write_packed_nwb2(path: Path) -> Path:
    """Write the cell as MIES does, compressed."""
    return write_nwb2(path, packed=True)


def write_nwb1(path: Path) -> Path:
    """Write the cell as the Allen Cell Types Database has it."""
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        file["general/aibs_specimen_id"] = 601506492
        words = ["pipeline", "IVSCC", "version", "1.0"]
        file["general/generated_by"] = np.array(words, dtype="S")
        for number, amplitude in enumerate(AMPLITUDES_PA):
            for place, side, trace, unit in (
                ("acquisition/timeseries", "response", voltage_mv(amplitude) * 1e-3, "Volts"),
                ("stimulus/presentation", "stimulus", current_pa(amplitude) * 1e-12, "Amps"),
            ):
                series = file.create_group(f"{place}/Sweep_{number}")
                series["data"] = trace.astype(np.float32)
                series["data"].attrs.update({"unit": unit, "conversion": 0.001})
                series["starting_time"] = 0.0
                series["starting_time"].attrs["rate"] = RATE_HZ
                series["aibs_stimulus_name"] = "Long Square"
                series["aibs_stimulus_amplitude_pa"] = amplitude
                for epoch, first in (("Sweep", 0), ("Experiment", 200)):
                    part = file.create_group(f"epochs/{epoch}_{number}/{side}")
                    part["idx_start"], part["count"] = first, SAMPLES - first
                    part["timeseries"] = h5py.SoftLink(series.name)
    return path


def abf_of_cell(*, recorded: bool) -> Abf:
    """Return the cell as pCLAMP would keep it."""
    channels = {"mV": np.stack([voltage_mv(amplitude) for amplitude in AMPLITUDES_PA])}
    if recorded:
        channels["pA"] = np.stack([current_pa(amplitude) for amplitude in AMPLITUDES_PA])
    held = SAMPLES // 64
    step = Epoch(AMPLITUDES_PA[0], STEP, level_step=40.0)
    return Abf(channels=channels, epochs=(Epoch(0.0, ONSET - held), step))


def sweeps_of_cell() -> list[dict[str, Floats]]:
    """Return the traces of every sweep by their unit."""
    return [
        {"pA": current_pa(amplitude), "mV": voltage_mv(amplitude)} for amplitude in AMPLITUDES_PA
    ]


BASES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "nwb2": (".nwb", write_nwb2),
    "packed nwb2": (".nwb", write_packed_nwb2),
    "nwb1": (".nwb", write_nwb1),
    "abf1": (".abf", lambda path: write_abf1(path, abf_of_cell(recorded=True))),
    "abf2": (".abf", lambda path: write_abf2(path, abf_of_cell(recorded=False))),
    "wcp": (".wcp", lambda path: write_wcp(path, sweeps_of_cell(), rate_hz=RATE_HZ)),
    "axgd": (
        ".axgd",
        lambda path: write_axograph(path, sweeps_of_cell(), version=2, rate_hz=RATE_HZ),
    ),
    "axgx": (".axgx", lambda path: write_axograph(path, sweeps_of_cell(), rate_hz=RATE_HZ)),
}


def write_bases(folder: Path) -> dict[str, Path]:
    """Write the cell in every format."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        name: write(folder / f"{name.replace(' ', '_')}{suffix}")
        for name, (suffix, write) in BASES.items()
    }


def mutate(base: Path, path: Path, rng: Rng) -> str:
    """Write a spoilt copy of a file and return what was done to it."""
    shutil.copyfile(base, path)
    ways = [*ON_BYTES, *(ON_HDF5 if base.suffix == ".nwb" else ON_ABF)]
    way = ways[rng.integers(len(ways))]
    if way in ON_HDF5:
        with h5py.File(path, "r+", libver="latest") as file:
            ON_HDF5[way](file, rng)
    else:
        data = bytearray(path.read_bytes())
        path.write_bytes(bytes((ON_BYTES | ON_ABF)[way](data, rng)))
    return way


def truncated(data: bytearray, rng: Rng) -> bytes:
    return bytes(data[: int(rng.integers(len(data)))])


def flipped(data: bytearray, rng: Rng, count: int, reach: float = 1.0) -> bytes:
    places = rng.integers(int(8 * len(data) * reach), size=count)
    for place in places:
        data[place // 8] ^= 1 << (place % 8)
    return bytes(data)


def head_flipped(data: bytearray, rng: Rng) -> bytes:
    return flipped(data, rng, int(rng.integers(1, 9)), min(1.0, 6144 / len(data)))


def block_replaced(data: bytearray, rng: Rng) -> bytes:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 4096))
    data[start : start + length] = rng.bytes(len(data[start : start + length]))
    return bytes(data)


def zeroed(data: bytearray, rng: Rng) -> bytes:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 4096))
    data[start : start + length] = bytes(len(data[start : start + length]))
    return bytes(data)


def grown(data: bytearray, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    return bytes(data[:start] + rng.bytes(int(rng.integers(1, 512))) + data[start:])


def swapped(data: bytearray, rng: Rng) -> bytes:
    half = int(rng.integers(1, len(data)))
    return bytes(data[half:] + data[:half])


ON_BYTES: dict[str, Callable[[bytearray, Rng], bytes]] = {
    "truncated": truncated,
    "a bit flipped": lambda data, rng: flipped(data, rng, 1),
    "bits flipped": lambda data, rng: flipped(data, rng, int(rng.integers(2, 200))),
    "bits of the head flipped": head_flipped,
    "a block of noise": block_replaced,
    "a block of zeros": zeroed,
    "bytes put in": grown,
    "ends swapped": swapped,
}
EXTREMES = (0, 1, -1, 2**31 - 1, -(2**31), 2**16, 2**24)


def field_changed(data: bytearray, rng: Rng) -> bytes:
    place = 2 * int(rng.integers(min(len(data), 6144) // 2 - 2))
    struct.pack_into("<i", data, place, EXTREMES[rng.integers(len(EXTREMES))])
    return bytes(data)


def section_changed(data: bytearray, rng: Rng) -> bytes:
    place = 76 + 4 * int(rng.integers(72))
    struct.pack_into("<i", data, place, EXTREMES[rng.integers(len(EXTREMES))])
    return bytes(data)


ON_ABF: dict[str, Callable[[bytearray, Rng], bytes]] = {
    "a field changed": field_changed,
    "a section changed": section_changed,
}


def nodes(file: Any, kind: type) -> list[str]:
    """Return the names of all groups or data sets."""
    found: list[str] = []
    file.visititems(lambda name, node: found.append(name) if isinstance(node, kind) else None)
    return sorted(found)


def any_of(file: Any, rng: Rng, kind: type = h5py.Dataset) -> str:
    names = nodes(file, kind)
    return names[rng.integers(len(names))]


def trace_of(file: Any, rng: Rng) -> str:
    names = [name for name in nodes(file, h5py.Dataset) if name.endswith("/data")]
    return names[rng.integers(len(names))]


def in_place_of(file: Any, name: str, stored: Any, **how: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    if isinstance(stored, h5py.SoftLink | h5py.ExternalLink):
        file[name] = stored
        return
    file.create_dataset(name, data=stored, **how).attrs.update(attributes)


def removed(file: Any, rng: Rng) -> None:
    del file[any_of(file, rng, h5py.Group if rng.integers(2) else h5py.Dataset)]


def moved(file: Any, rng: Rng) -> None:
    file.move(any_of(file, rng, h5py.Group), "elsewhere")


def renamed_attribute(file: Any, rng: Rng) -> None:
    node = file[trace_of(file, rng)]
    names = sorted(node.attrs)
    name = names[rng.integers(len(names))]
    node.attrs[f"{name} once"] = node.attrs[name]
    del node.attrs[name]


def strange_attribute(file: Any, rng: Rng) -> None:
    node = file[any_of(file, rng)]
    name = sorted([*node.attrs, "unit"])[0]
    values = (
        "",
        "mV",
        b"\xff\xfe",
        np.nan,
        np.inf,
        -1.0,
        0.0,
        1e300,
        np.arange(5),
        np.zeros(9, "S9"),
    )
    node.attrs[name] = values[rng.integers(len(values))]


def strange_rate(file: Any, rng: Rng) -> None:
    starts = [name for name in nodes(file, h5py.Dataset) if name.endswith("starting_time")]
    values = (0.0, -1.0, np.nan, np.inf, 1.0, 5e4, 1e12)
    file[starts[rng.integers(len(starts))]].attrs["rate"] = values[rng.integers(len(values))]


def of_another_type(file: Any, rng: Rng) -> None:
    stored: tuple[Any, ...] = (
        np.array([b"text"] * 5), np.zeros(SAMPLES, bool), np.zeros(SAMPLES, "c16"),
        np.zeros((SAMPLES, 2), "i2"), np.zeros((0,), "f4"), np.float64(1.0), np.zeros(3, "i2,f8"),
        np.full(SAMPLES, np.nan), np.full(SAMPLES, np.inf), np.full(SAMPLES, 2**62),
        np.zeros(SAMPLES, "u1"), "text", np.zeros(SAMPLES),
    )  # fmt: skip
    in_place_of(file, trace_of(file, rng), stored[rng.integers(len(stored))])


def other_length(file: Any, rng: Rng) -> None:
    name = trace_of(file, rng)
    in_place_of(file, name, file[name][: int(rng.integers(SAMPLES))])


def linked(file: Any, rng: Rng) -> None:
    name = any_of(file, rng, h5py.Group if rng.integers(2) else h5py.Dataset)
    targets = (f"/{name}", "/nowhere", "..", "/", f"/{any_of(file, rng)}", "a/" * 500)
    in_place_of(file, name, h5py.SoftLink(targets[rng.integers(len(targets))]))


def linked_outside(file: Any, rng: Rng) -> None:
    name = any_of(file, rng, h5py.Group if rng.integers(2) else h5py.Dataset)
    other = ("/etc/passwd", "nwb2.nwb", "nowhere.h5", ".")[rng.integers(4)]
    in_place_of(file, name, h5py.ExternalLink(other, "/"))


def stored_outside(file: Any, rng: Rng) -> None:
    name = trace_of(file, rng)
    del file[name]
    file.create_dataset(name, (SAMPLES,), "f4", external=[("/etc/passwd", 0, 4 * SAMPLES)])


def virtual(file: Any, rng: Rng) -> None:
    name = trace_of(file, rng)
    del file[name]
    layout = h5py.VirtualLayout((SAMPLES,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (SAMPLES,))
    file.create_virtual_dataset(name, layout)


def giant(file: Any, rng: Rng) -> None:
    name = trace_of(file, rng)
    attributes = dict(file[name].attrs)
    del file[name]
    exponent = int(rng.integers(24, 45))
    # The file itself holds an index of all chunks, and is to stay small.
    chunk = int(2 ** rng.integers(max(4, exponent - 16), exponent))
    claim = file.create_dataset(
        name, (2**exponent,), "f8", chunks=(chunk,), compression=("gzip", None)[rng.integers(2)]
    )
    if chunk <= 2**16:
        claim[:chunk] = 1.0
    claim.attrs.update(attributes)


def bomb(file: Any, rng: Rng) -> None:
    """Pack zeros as tightly as can be: some kilobytes that become a hundred megabytes."""
    name = trace_of(file, rng)
    in_place_of(file, name, np.zeros(2 ** int(rng.integers(18, 23))), compression="gzip",
                compression_opts=9, chunks=(2**17,))  # fmt: skip


def huge_attribute(file: Any, rng: Rng) -> None:
    file[any_of(file, rng)].attrs["unit"] = np.zeros(7000, "S9")


def many_groups(file: Any, rng: Rng) -> None:
    place = ("acquisition", "epochs", "stimulus/presentation")[rng.integers(3)]
    for number in range(300):
        file.require_group(f"{place}/Sweep_{1000 + number}")


def wrong_epoch(file: Any, rng: Rng) -> None:
    names = [name for name in nodes(file, h5py.Dataset) if name.endswith(("idx_start", "count"))]
    if names:
        values = (-1, 0, 2**40, SAMPLES // 2, np.nan)
        in_place_of(file, names[rng.integers(len(names))], values[rng.integers(len(values))])


def wrong_version(file: Any, rng: Rng) -> None:
    versions = ("NWB-1.0.5", "2.2.4", "3.0", "", "NWB-1" * 9999, b"\xff")
    version = versions[rng.integers(len(versions))]
    if "nwb_version" in file:
        del file["nwb_version"]
    file.attrs["nwb_version"] = version


ON_HDF5: dict[str, Callable[[Any, Rng], None]] = {
    "removed": removed,
    "moved": moved,
    "an attribute renamed": renamed_attribute,
    "a strange attribute": strange_attribute,
    "a strange rate": strange_rate,
    "of another type": of_another_type,
    "of another length": other_length,
    "a link": linked,
    "a link outside": linked_outside,
    "storage outside": stored_outside,
    "a virtual data set": virtual,
    "a giant claim": giant,
    "a bomb": bomb,
    "a huge attribute": huge_attribute,
    "many groups": many_groups,
    "a wrong epoch": wrong_epoch,
    "a wrong version": wrong_version,
}
