"""Copies of recordings with results: read by pynwb, and the recordings stay as they were."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from sts.base.errors import StsError
from sts.base.files import sha256_of
from sts.base.types import CLASSES
from sts.datasets.cell_files import CellFiles, stamp_cell
from sts.datasets.cell_types import LEVELS
from sts.datasets.nwb_results import (
    ResultsTask,
    StatedResults,
    write_cell_results,
    write_in_sandbox,
)
from sts.recordings.nwb import read_nwb2
from sts.recordings.readers import read_recording
from sts.reports.new_cells import PredictedCell
from sts.reports.type_answers import LevelTypes, TypeAnswer, TypeChance
from sts.studies.classify.nwb_copies import (
    CopyJob,
    choose_copies,
    state_results,
    write_copies,
)
from tests.datasets.builds import BOTH, process_file
from tests.datasets.test_conversion import convert_file
from tests.recordings.mutator import AMPLITUDES_PA, BASES, RHEOBASE_PA, write_nwb1

MODEL_DIGEST = {"model.safetensors": "ab" * 32}


def predicted(source: Path) -> PredictedCell:
    files = CellFiles(name=str(source), paths={str(source): source})
    return PredictedCell(
        file=str(source),
        specimen_id="a",
        probabilities=(0.1, 0.2, 0.3, 0.4),
        distance=1.0,
        threshold=2.0,
        source=files,
        stamps=stamp_cell(files),
    )


def copy_with_results(source: Path, folder: Path) -> Path:
    """Write the copy of one recording in this process."""
    one = predicted(source)
    target = choose_copies([one], folder)[one.file]
    assert one.source is not None
    answer = StatedResults(
        probabilities=dict(zip(CLASSES, one.probabilities, strict=True)),
        prediction_set=("Pvalb",),
        facts={"prediction": one.prediction, "model_sha256": "ab" * 32},
    )
    write_cell_results(
        ResultsTask(cell=one.source, stamps=one.stamps, target=target, settings=BOTH, answer=answer)
    )
    return target


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an NWB 2 file that pynwb has written."""
    folder = tmp_path_factory.mktemp("recordings")
    _, write = BASES["abf2"]
    convert_file(write(folder / "cell.abf"), folder / "nwb" / "cell.nwb")
    return folder / "nwb" / "cell.nwb"


@pytest.fixture(scope="module")
def copy(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its copy."""
    return copy_with_results(path, tmp_path_factory.mktemp("copies"))


def test_pynwb_reads_spikes_features_and_probabilities(path: Path, copy: Path) -> None:
    features = process_file(path, file="x", settings=BOTH).features
    assert features is not None
    with NWBHDF5IO(copy, "r") as opened:
        module = opened.read().processing["icephys"]
        tables = {name: module[f"sts_{name}"].to_dataframe() for name in TABLES}
    measured = dict(zip(tables["features"]["feature"], tables["features"]["value"], strict=True))
    np.testing.assert_equal(measured, features.values)
    sweeps = tables["sweeps"]
    assert [len(times) for times in sweeps["spike_times"]] == sweeps["spike_count"].tolist()
    assert sweeps["spike_count"].max() == 3
    squares = sweeps[(sweeps["stimulus"] == "long square") & (sweeps["amplitude_pa"] > 0)]
    rheobase = squares[squares["spike_count"] > 0]["amplitude_pa"].min()
    assert rheobase == pytest.approx(measured["threshold_i_long_square"], abs=1)
    first = squares.sort_values("amplitude_pa").query("spike_count > 0").iloc[0]
    assert first["latency_s"] == pytest.approx(measured["threshold_t_long_square"])
    assert first["first_spike_peak_mv"] == pytest.approx(measured["peak_v_long_square"])
    answer = tables["class_probabilities"]
    assert dict(zip(answer["label"], answer["probability"], strict=True)) == dict(
        zip(CLASSES, (0.1, 0.2, 0.3, 0.4), strict=True)
    )
    assert answer.set_index("label")["in_set"].to_dict() == {
        label: label == "Pvalb" for label in CLASSES
    }
    facts = tables["prediction"].set_index("fact")["value"].to_dict()
    assert facts["model_sha256"] == "ab" * 32
    assert sha256_of(path) in facts["source_sha256"]


TABLES = ("sweeps", "features", "class_probabilities", "prediction")


def test_a_set_is_stated_where_the_model_gives_one(path: Path) -> None:
    cell = predicted(path)
    plain = state_results(cell, "a model", MODEL_DIGEST)
    assert plain.prediction_set is None
    with_set = state_results(replace(cell, possible=("Sst",), coverage=0.8), "other", MODEL_DIGEST)
    assert (with_set.prediction_set, with_set.facts["set_coverage"]) == (("Sst",), "0.8")
    chances = [
        (TypeChance(label="Inhibitory", probability=0.9, in_set=True),),
        (
            TypeChance(label="Inhibitory > Sst", probability=0.5, in_set=True),
            TypeChance(label="Inhibitory > Pvalb", probability=0.4, in_set=True),
            TypeChance(label="Excitatory > Excitatory", probability=0.1, in_set=False),
        ),
    ]
    types = TypeAnswer(
        answer="Inhibitory",
        level=LEVELS[0],
        coverage=0.9,
        levels=tuple(
            LevelTypes(level=level, types=each)
            for level, each in zip(LEVELS, chances, strict=False)
        ),
        nearest=(),
    )
    stated = state_results(replace(cell, types=types), "a tree", MODEL_DIGEST)
    assert stated.prediction_set == ("Sst", "Pvalb")
    assert (stated.facts["answer"], stated.facts["set_class"]) == ("Inhibitory", "Sst; Pvalb")
    assert plain.facts.items() < {**stated.facts, "model": "a model"}.items()


def test_all_of_the_source_is_in_the_copy_and_the_source_is_not_changed(
    path: Path, tmp_path: Path
) -> None:
    before = sha256_of(path)
    target = copy_with_results(path, tmp_path)
    assert sha256_of(path) == before
    with h5py.File(path) as one, h5py.File(target) as other:
        names: list[str] = []
        one.visit(names.append)
        assert not [name for name in names if name not in other]
        for name in names:
            assert dict(one[name].attrs).keys() == dict(other[name].attrs).keys()
            if isinstance(one[name], h5py.Dataset) and one[name].dtype.kind in "if":
                np.testing.assert_array_equal(one[name][()], other[name][()])
    a, b = read_nwb2(path), read_nwb2(target)
    for x, y in zip(a.sweeps, b.sweeps, strict=True):
        np.testing.assert_array_equal(x.voltage_mv, y.voltage_mv)


def test_a_checker_says_nothing_grave_of_a_copy_that_it_does_not_say_of_the_source(
    path: Path, copy: Path
) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    def grave(file: Path) -> set[tuple[str, str]]:
        return {
            (each.check_function_name, each.message)
            for each in inspect_nwbfile(nwbfile_path=file)
            if each.importance.value >= Importance.CRITICAL.value
            # a release of pandas warns about the checker itself, and here warnings are errors
            and "Pandas4Warning" not in each.message
        }

    assert grave(copy) <= grave(path)


def test_results_are_written_again_into_a_copy_of_a_copy(copy: Path, tmp_path: Path) -> None:
    again = copy_with_results(copy, tmp_path)
    with h5py.File(copy) as one, h5py.File(again) as other:
        assert set(one["processing/icephys"]) == set(other["processing/icephys"])


def test_nwb_1_becomes_nwb_2_with_the_spikes_of_its_sweeps(tmp_path: Path) -> None:
    source = write_nwb1(tmp_path / "allen.nwb")
    target = copy_with_results(source, tmp_path / "copies")
    a, b = read_recording(source), read_nwb2(target)
    for x, y in zip(a.sweeps, b.sweeps, strict=True):
        np.testing.assert_array_equal(x.voltage_mv, y.voltage_mv)
    with NWBHDF5IO(target, "r") as opened:
        sweeps = opened.read().processing["icephys"]["sts_sweeps"].to_dataframe()
    counts = dict(zip(sweeps["amplitude_pa"].round(), sweeps["spike_count"], strict=True))
    # by construction: one spike at rheobase, and one more for every 20 pA
    assert counts == {
        amplitude: max(0, round(1 + (amplitude - RHEOBASE_PA) / 20)) for amplitude in AMPLITUDES_PA
    }


def test_a_link_out_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.create_group("processing/icephys")
    before = sha256_of(other)
    hostile = tmp_path / "hostile.nwb"
    hostile.write_bytes(path.read_bytes())
    with h5py.File(hostile, "r+") as file:
        del file["processing"]
        file["processing"] = h5py.ExternalLink("other.h5", "processing")
    one = predicted(hostile)
    assert one.source is not None
    answer = StatedResults(probabilities={}, prediction_set=None, facts={})
    target = tmp_path / "copies" / "hostile.nwb"
    task = ResultsTask(
        cell=one.source, stamps=one.stamps, target=target, settings=BOTH, answer=answer
    )
    assert "is a link to another file" in write_in_sandbox(task)
    assert not target.exists()
    assert sha256_of(other) == before


def test_a_recording_that_changed_since_it_was_measured_is_not_copied(
    path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "cell.nwb"
    source.write_bytes(path.read_bytes())
    one, failed = predicted(source), replace(predicted(path), status="failed", probabilities=())
    with h5py.File(source, "r+") as file:
        file.attrs["more"] = 1
    cells = [one, failed]
    job = CopyJob(folder=tmp_path / "copies", reading=BOTH, workers=1)
    targets = choose_copies(cells, job.folder)
    (reason,) = write_copies(cells, targets, job, "a model", MODEL_DIGEST)
    assert reason.startswith(f"{source}: changed since it was measured")
    assert not list(job.folder.rglob("*.nwb"))


def test_no_recording_is_replaced_by_its_copy(path: Path) -> None:
    with pytest.raises(StsError, match="would be replaced by its own copy"):
        choose_copies([predicted(path)], path.parent)
