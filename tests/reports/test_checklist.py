"""A checklist is filled from the files of a run, and what they lack is said, never made up."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sts.base.errors import StsError
from sts.cli.data import main
from sts.reports.checklist import NOT_RECORDED, fill_checklist, write_checklist
from tests.conftest import REPOSITORY


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def group(cells: int) -> dict[str, Any]:
    per_class = {name: {"support": cells // 2, "f1": interval(0.8)} for name in ("Pvalb", "Sst")}
    scores = {"balanced_accuracy": interval(0.9), "weighted_f1": interval(0.91)}
    return {"cells": cells, "per_class": per_class, "fingerprint": "ab12", **scores}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run like those of `baseline_pipeline.py`."""
    folder = tmp_path / "output" / "baseline" / "LightGBM" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    data = {"training_cells": 3577, "kept_aside": 358, "holdout_cells": 40, "split": "/a/Split"}
    write(folder / "settings.json", {"seed": 7, "group_by": "donor"})
    write(folder / "report.json", {"model": {"data": data}, "holdout": {"pooled": group(40)}})
    write(
        folder / "run.json",
        {"argv": ["/home/me/source/baseline_pipeline.py", "--seed", "7"], "commit": None}
        | {"start": "then", "end": "later", "status": "done", "versions": {}},
    )
    return folder


def write(path: Path, values: object) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def answer(run: Path, name: str, **more: Path) -> str:
    (item,) = (item for item in fill_checklist(run, **more) if item.id == name)
    return item.from_run


def test_what_a_run_records_is_filled_in(run: Path) -> None:
    assert answer(run, "REFORMS 3e").startswith(
        "3,577 training cells, 358 of them kept aside from the final fit, and 40 held-out cells."
    )
    assert answer(run, "REFORMS 2e") == (
        "Command: `python source/baseline_pipeline.py --seed 7`, from then to later, status done. "
        "Seed: 7."
    )
    assert "weighted F1 0.910 [0.900, 0.920] (n = 40)" in answer(run, "REFORMS 7a")


@pytest.mark.parametrize("field", ["training_cells", "holdout_cells", "kept_aside"])
@pytest.mark.parametrize("is_null", [True, False])
def test_a_missing_field_is_said_in_words(run: Path, field: str, is_null: bool) -> None:
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["model"]["data"][field] = None
    if not is_null:
        del report["model"]["data"][field]
    write(run / "report.json", report)
    found = answer(run, "REFORMS 3e")
    assert found.endswith(f"{NOT_RECORDED}the number of cells.")
    assert "training cells" not in found


def test_an_absent_file_answers_nothing(run: Path) -> None:
    # The commit is null in run.json.
    assert answer(run, "REFORMS 2b") == f"{NOT_RECORDED}the version of the code, the libraries."
    (run / "report.json").unlink()
    assert answer(run, "REFORMS 7a") == (
        f"{NOT_RECORDED}the names of the scores, the scores of held-out cells."
    )
    assert sum(item.is_answered for item in fill_checklist(run)) < 10


def test_the_manifest_counts_recordings(run: Path) -> None:
    path = run / "manifest.json"
    made = {"files": [{}, {}, {}], "cells": [{}, {}], "versions": {"sts": "0.2"}}
    write(path, {"features": made})
    assert "features: 3 files with size and sha256, 2 cells, sts 0.2." in answer(
        run, "REFORMS 2a", manifest=path
    )
    assert "the recordings" in answer(run, "REFORMS 2a").partition(NOT_RECORDED)[2]


def test_answers_by_hand_stay_apart(run: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text('"REFORMS 1b" = """Because\nof that."""\n', encoding="utf-8")
    items = {item.id: item for item in fill_checklist(run, answers=answers)}
    assert items["REFORMS 1b"].by_hand == "Because of that."
    assert items["REFORMS 1b"].from_run == ""
    assert items["REFORMS 3e"].by_hand == ""
    answers.write_text('"REFORMS 9z" = "x"\n', encoding="utf-8")
    with pytest.raises(StsError, match="did you mean"):
        fill_checklist(run, answers=answers)
    answers.write_text("REFORMS 1b\n", encoding="utf-8")
    with pytest.raises(StsError, match="is not TOML"):
        fill_checklist(run, answers=answers)


def test_the_command_writes_a_page_into_the_folder_of_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checklist", str(run)]) == 0
    page = (run / "reporting.md").read_text(encoding="utf-8")
    assert "`baseline/LightGBM/20260101-000000-abcd`" in page
    assert len(re.findall(r"^### REFORMS ", page, flags=re.MULTILINE)) == 32
    assert len(re.findall(r"^### DOME ", page, flags=re.MULTILINE)) == 21
    assert "of 53 items" in capsys.readouterr().out
    assert main(["checklist", str(tmp_path)]) == 2


def test_text_of_a_run_cannot_change_the_page(run: Path, tmp_path: Path) -> None:
    write(run / "settings.json", {"seed": "1\n# A heading <script>"})
    page = tmp_path / "page.md"
    write_checklist(page, fill_checklist(run), run=run)
    text = page.read_text(encoding="utf-8")
    assert "Seed: 1 # A heading &lt;script>" in text


def test_the_page_of_docs_has_every_item_and_every_answer_by_hand(run: Path) -> None:
    page = (REPOSITORY / "docs" / "reporting.md").read_text(encoding="utf-8")
    path = REPOSITORY / "docs" / "reporting-answers.toml"
    answers = tomllib.loads(path.read_text(encoding="utf-8"))
    for item in fill_checklist(run, answers=path):
        assert f"### {item.id}. {item.asks}\n" in page
        if item.id in answers:
            assert f"* By hand: {item.by_hand}\n" in page
