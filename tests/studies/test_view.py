"""The page of all cells: who is on it, where they lie, and into how many files it is divided."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.cli.data import main
from sts.cli.run import Status
from sts.reports.predictions import PREDICTIONS, write_network_features
from sts.reports.viewer.answers import read_answers
from sts.reports.viewer.page import as_data
from sts.studies.data.cell_map import find_quartiles, map_cells, standardise
from sts.studies.data.view import (
    ViewJob,
    find_data_of_run,
    gather_cells,
    place_by_network,
    view_cells,
)
from tests.reports.viewer.worlds import FORMULA_ID, HOSTILE, LOST, write_world


def facts_of(path: Path) -> dict[str, Any]:
    block = re.search(
        r'<script type="application/json" id="facts">(.*?)</script>', path.read_text()
    )
    assert block
    return dict(json.loads(block[1]))


def make_groups() -> tuple[Floats, Floats]:
    """Return two groups of cells in ten columns, some values missing, and the group of each."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    X = rng.normal(0, 1, (60, 10)) + 6 * group[:, None]
    X[rng.random(X.shape) < 0.1] = np.nan
    X[59] = np.nan
    return X, group


@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_alike_cells_lie_together(kind: Any) -> None:
    X, group = make_groups()
    places = map_cells(X, "features", kind=kind)
    assert np.isnan(places.points[59]).all()
    assert places.neighbours[59] == []
    middles = [np.nanmean(places.points[group == side], axis=0) for side in (0, 1)]
    inside = np.nanstd(places.points[group == 0], axis=0).mean()
    assert np.linalg.norm(middles[0] - middles[1]) > 2 * inside
    near = [group[other] == group[cell] for cell in range(59) for other in places.neighbours[cell]]
    assert np.mean(near) > 0.95
    again = map_cells(X, "features", kind=kind)
    np.testing.assert_array_equal(again.points, places.points)


def test_one_wrong_unit_does_not_fill_the_map() -> None:
    X, _ = make_groups()
    X[0, 0] = 1e9
    assert np.abs(standardise(X[:59])).max() <= 5
    assert "fewer than three cells" in map_cells(np.ones((5, 3)), "features").words


def test_quartiles_leave_out_missing_values() -> None:
    X = np.array([[1.0], [2.0], [3.0], [np.nan], [9.0]])
    found = find_quartiles(X, np.array(["Sst", "Sst", "Sst", "Sst", ""]))
    assert found == {"Sst": [[1.5, 2.0, 2.5]]}


def test_every_cell_is_there_with_what_is_known(tmp_path: Path) -> None:
    data, run = write_world(tmp_path)
    views = {
        view.specimen_id: view for view in gather_cells(data, read_answers(run / "predictions.csv"))
    }
    assert len(views) == 13
    assert set(HOSTILE) <= views.keys()
    assert views[LOST].status == "failed"
    assert views[LOST].traces is None
    assert views["600004"].traces is not None
    answer = views["600004"].answer
    assert answer is not None
    assert answer.is_unlike is True
    assert answer.possible == ("Pvalb", "Sst")


def test_many_cells_are_divided_into_pages_that_know_each_other(tmp_path: Path) -> None:
    data, run = write_world(tmp_path)
    viewed = view_cells(ViewJob(data=data, run=run, max_cells=5))
    assert [path.name for path in viewed.paths] == ["view.html", "view-2.html", "view-3.html"]
    pages = [facts_of(path) for path in viewed.paths]
    ids = [[cell["id"] for cell in page["cells"]] for page in pages]
    assert [len(own) for own in ids] == [5, 5, 3]
    for number, page in enumerate(pages):
        assert page["page"] == number
        assert page["total"] == 13
        for name, at in (near for cell in page["neighbours"] for near in cell):
            assert name in ids[at]
    # the sweeps of the third page are those of its own cells
    text = viewed.paths[2].read_text()
    (block,) = re.findall(r'id="sweeps-\d+">(.*?)</script>', text)
    assert len(json.loads(block)) == 3


def test_data_cannot_end_its_element() -> None:
    text = as_data({"id": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"id": "</script><!-- & \u2028"}


def test_without_features_the_map_shows_spectra(tmp_path: Path) -> None:
    data, _ = write_world(tmp_path)
    (data / "mine" / "features.csv").unlink()
    viewed = view_cells(ViewJob(data=data))
    assert viewed.paths == (data / "view.html",)
    assert "frequency bands" in viewed.map_words
    assert facts_of(viewed.paths[0])["features"]["names"] == []


def test_the_map_shows_the_features_of_the_network_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = write_world(tmp_path)
    words = ["view", "--root", str(tmp_path), "--data", str(data), "--run", str(run)]
    assert main([*words, "--map-from", "network"]) == Status.USER
    assert "no features.npy" in capsys.readouterr().err
    predicted = [name for name, each in read_answers(run / PREDICTIONS).items() if each.prediction]
    along = np.arange(len(predicted), dtype=float)
    write_network_features(run, np.stack([along, 2 * along, np.ones(len(along))], axis=1))
    assert main(words) == Status.DONE
    facts = facts_of(run / "view.html")
    assert facts["map"] == (
        "Principal components of 2 standardised features of the network: 100 % and 0 % of their "
        "variance."
    )
    job = ViewJob(data=data, run=run)
    views = gather_cells(data, answers := read_answers(run / PREDICTIONS))
    places = place_by_network(views, answers, job)
    assert places is not None
    rows = [[view.specimen_id for view in views].index(name) for name in predicted]
    steps = np.diff(places.points[rows, 0])
    assert np.allclose(steps, steps[0]) and abs(steps[0]) > 0
    assert place_by_network(views, answers, replace(job, map_from="table")) is None


def test_answers_of_several_levels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(
        "specimen_id,dataset,level,truth,call,probability,given,set\n"
        "1,A,class,x,Inhibitory > Sst,0.9,True,Inhibitory > Sst; Inhibitory > Pvalb\n"
        "1,A,subclass,x,Inhibitory > Sst > Sst,0.6,False,\n"
    )
    first, second = read_answers(path)["1"].levels
    assert first.possible == ("Inhibitory > Sst", "Inhibitory > Pvalb")
    assert (first.is_given, second.is_given, second.possible) == (True, False, ())


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    words = ["view", "--root", str(tmp_path)]
    assert main(words) == Status.USER
    assert "no cell to view" in capsys.readouterr().err
    assert main([*words, "--run", "nowhere"]) == Status.USER
    assert "no folder nowhere" in capsys.readouterr().err
    assert main([*words, "--run", str(tmp_path)]) == Status.USER
    assert "no predictions.csv" in capsys.readouterr().err
    path = tmp_path / "predictions.csv"
    path.write_text("specimen_id,probability_Sst\n1,much\n")
    with pytest.raises(StsError, match="line 2: probability_Sst is 'much', a number is wanted"):
        read_answers(path)
    path.write_text("specimen_id\n1\n1\n")
    with pytest.raises(StsError, match="line 3: 1 is there twice"):
        read_answers(path)


def test_a_run_of_predict_names_its_data(tmp_path: Path) -> None:
    data, run = write_world(tmp_path)
    settings = {"source": {"cells_from": str(data)}}
    (run / "settings.json").write_text(json.dumps(settings))
    assert find_data_of_run(run) == data
    (run / "settings.json").write_text('{"seed": 0}')
    assert find_data_of_run(run) is None
    assert FORMULA_ID in {view.specimen_id for view in gather_cells(data, {})}
