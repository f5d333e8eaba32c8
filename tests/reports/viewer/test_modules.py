"""The modules of the viewer compute in the browser what Python computes here."""

import base64
import re
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from sts.base.types import Floats
from sts.reports.viewer.page import (
    FOLDER,
    SCRIPTS,
    WINDOW_BITS,
    PackedPair,
    join_scripts,
    pack_pair,
)
from sts.scalograms.wavelet import FREQS_HZ, sum_directly
from sts.signals.resample import BEFORE_S, sample_at
from tests.reports.viewer.node import NODE, floats_of, needs_node, run_node

UNPACK = """
import { unpackPair } from "FOLDER/unpack.mjs";
import { computeScalograms } from "FOLDER/scalogram.mjs";
import { findSpikes } from "FOLDER/spikes.mjs";
const show = (floats) => console.log(Buffer.from(floats.buffer).toString("base64"));
const sweeps = await unpackPair(values[0]);
sweeps.forEach(show);
computeScalograms(...sweeps).forEach(show);
console.log(JSON.stringify(sweeps.map((sweep) => findSpikes(sweep).length)));
"""


def make_pair() -> Floats:
    """Return noise with spikes, and a sweep that ends elsewhere than it begins."""
    rng = np.random.default_rng(3)
    at = np.arange(4800)
    spikes = 90 * np.exp(-0.5 * ((at % 400 - 200) / 3) ** 2) * ((at > 400) & (at < 4400))
    first = -70 + rng.normal(0, 0.1, 4800) + spikes
    return np.stack([first, -70 + at / 300 + 20 * (at > 3000)]).astype(np.float32)


def unpack_pair(packed: PackedPair) -> Floats:
    """Return the sweeps (2, samples) of a packed pair, in mV."""
    text, *numbers = packed
    planes = np.frombuffer(zlib.decompress(base64.b64decode(str(text)), WINDOW_BITS), np.uint8)
    low, high = planes.astype(np.int64).reshape(2, -1)
    codes = (low + 256 * high).reshape(2, -1)
    steps = np.cumsum((codes >> 1) ^ -(codes & 1), axis=1)
    step_mv, first_mv = np.array(numbers, dtype=np.float64).reshape(2, 2).T[..., None]
    return np.asarray(first_mv + step_mv * steps)


def read_real_sweep(path: Path) -> Floats:
    with np.load(path) as file:
        voltage, rate_hz = file["voltage_mv"].astype(float).ravel(), 1000 / float(file["dt_ms"])
        onset = float(file["stim_on_ms"]) / 1000 * rate_hz
    level = float(voltage[: int(onset)].mean())
    first = onset - BEFORE_S * rate_hz
    return sample_at(voltage, rate_hz, first=first, count=4800, level=level)


def test_packed_sweeps_differ_by_less_than_a_fiftieth_of_a_millivolt() -> None:
    pair = make_pair()
    assert np.abs(unpack_pair(pack_pair(pair)) - pair).max() < 0.02


def test_a_sweep_of_absurd_height_is_packed_in_larger_steps() -> None:
    pair = make_pair()
    pair[1, 100:200] = 5e6
    found = unpack_pair(pack_pair(pair))
    assert np.abs(found[0] - pair[0]).max() < 0.02
    assert np.abs(found[1] - pair[1]).max() <= 5e6 / 32_000


@needs_node
def test_the_browser_unpacks_and_transforms_as_python_does() -> None:
    pair = make_pair()
    packed = pack_pair(pair)
    *lines, spikes = run_node(UNPACK, packed).splitlines()
    sweeps = np.stack([floats_of(line) for line in lines[:2]])
    np.testing.assert_allclose(sweeps, unpack_pair(packed), atol=1e-4)
    for line, trace in zip(lines[2:], unpack_pair(packed), strict=True):
        # the same definition, but for float32
        assert_near_ours(floats_of(line), trace, share=1e-4)
    # what packing changes is small beside the spikes of a cell
    assert_near_ours(floats_of(lines[2]), pair[0])
    assert spikes == "[10,0]"


@needs_node
@pytest.mark.data
def test_scalograms_of_real_sweeps_are_within_a_hundredth_of_ours(data_dir: Path) -> None:
    paths = sorted((data_dir / "sweeps").glob("*.npz"))[:2]
    pair = np.stack([read_real_sweep(path) for path in paths])
    *lines, spikes = run_node(UNPACK, pack_pair(pair)).splitlines()
    for line, trace in zip(lines[2:], pair, strict=True):
        assert_near_ours(floats_of(line), trace)
    # as many as upward crossings of -20 mV at the full rate
    assert spikes == str([count_crossings(path) for path in paths]).replace(" ", "")


def count_crossings(path: Path) -> int:
    with np.load(path) as file:
        above = file["voltage_mv"].ravel() > -20
    return int((above[1:] & ~above[:-1]).sum())


def assert_near_ours(found: Floats, trace: Floats, *, share: float = 0.01) -> None:
    """Compare coefficients at every second sample, of low frequencies at every fourth one."""
    found = found.reshape(len(FREQS_HZ), 2400)
    wanted = sum_directly(trace)
    wide = FREQS_HZ < 120
    for image, rows in ((wanted[wide, ::4], found[wide, ::2]), (wanted[~wide, ::2], found[~wide])):
        assert np.abs(rows - image).max() < share * np.abs(wanted).max()
        # each frequency by itself
        errors = np.linalg.norm(rows - image, axis=1) / np.linalg.norm(image, axis=1)
        assert errors.max() < share


@needs_node
def test_the_joined_modules_are_one_sound_script(tmp_path: Path) -> None:
    assert NODE is not None
    path = tmp_path / "all.mjs"
    path.write_text(join_scripts(), encoding="utf-8")
    # also fails where two modules give one name to two things
    done = subprocess.run([NODE, "--check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_is_joined_after_those_that_it_imports() -> None:
    assert sorted(SCRIPTS) == sorted(path.stem for path in FOLDER.glob("*.mjs"))
    for place, name in enumerate(SCRIPTS):
        text = (FOLDER / f"{name}.mjs").read_text(encoding="utf-8")
        imports = re.findall(r'^import .* from "\./(\w+)\.mjs";$', text, re.MULTILINE)
        assert len(imports) == len(re.findall(r"^import\b", text, re.MULTILINE))
        assert set(imports) <= set(SCRIPTS[:place])


def test_no_module_makes_markup_of_text_or_asks_the_network() -> None:
    wrong = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|fetch\(|"
    wrong += r"XMLHttpRequest|WebSocket|sendBeacon|EventSource|https?:(?!//www\.w3\.org/2000/svg)"
    assert not re.search(wrong, join_scripts())


@needs_node
def test_marks_are_written_so_that_no_spreadsheet_executes_them() -> None:
    script = """
    import { Marks } from "FOLDER/marks.mjs";
    const marks = new Marks("k", () => { throw new Error("no storage"); });
    marks.set("=1+1", { mark: "exclude" });
    marks.set("b", { note: 'say "hi",\\n  there' });
    marks.set("c", { mark: "nonsense" });
    marks.set("d", { mark: "wrong label" });
    marks.set("d", { mark: "" });
    process.stdout.write(marks.csv());
    console.log(marks.isKept, marks.size);
    """
    lines = run_node(script).splitlines()
    assert lines[:3] == ["specimen_id,mark,note", "'=1+1,exclude,", 'b,,"say ""hi"", there"']
    assert lines[3:] == ["false 2"]


@needs_node
def test_an_address_holds_the_whole_state() -> None:
    script = """
    import { START, formatState, parseState } from "FOLDER/state.mjs";
    const state = { ...START, cell: "a&b=#%", q: "ü x", only: "wrong", from: 0.25, to: 0.5 };
    console.log(JSON.stringify(parseState("#" + formatState(state))) === JSON.stringify(state));
    console.log(formatState(START) === "", parseState("#from=2&to=1").to);
    """
    assert run_node(script) == "true\ntrue 1.2\n"


@needs_node
def test_classes_are_summed_on_the_tree() -> None:
    script = """
    import { sumTree } from "FOLDER/details.mjs";
    console.log(JSON.stringify(sumTree({ Pvalb: 0.25, Excitatory: 0.5, Sst: 0.25, "A > b": 0 })));
    """
    assert run_node(script) == (
        '[["A",0],["A > b",0],["Excitatory",0.5],["Inhibitory",0.5],'
        '["Inhibitory > Pvalb",0.25],["Inhibitory > Sst",0.25]]\n'
    )
