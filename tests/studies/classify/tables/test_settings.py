"""What can be asked of baseline_pipeline.py, and what is refused."""

from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.cli.baseline import main
from sts.cli.run import Status
from sts.studies.classify.tables.settings import make_table_job
from tests.studies.classify.tables.worlds import QUICK, card_of


def test_donors_are_respected_unless_asked_otherwise_or_published() -> None:
    assert make_table_job().group_by == "donor"
    assert make_table_job(published=True).group_by == "specimen"
    assert make_table_job(group_by="specimen").group_by == "specimen"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "lightgmb"], "did you mean 'lightgbm'"),
        (["--features", "enginered"], "did you mean 'engineered'"),
        (["--published", "--features", "shared"], "--published is LightGBM"),
        (["--published", "--model", "svm"], "--published is LightGBM"),
        (["PREDICT"], "--recordings FILE..., --cells-from DIR or --table CSV; none of them"),
        (["PREDICT", "--recordings", "x", "--cells-from", "y"], "2 of them were given"),
        (["PREDICT", "--cells-from", "nowhere"], "no folder nowhere"),
        (["PREDICT", "--cells-from", "x", "--hero"], "--hero belongs to recordings"),
        (["PREDICT", "--table", "nowhere.csv"], "no feature table nowhere.csv"),
        (["TEST", "--features", "paper"], "no model at"),
        (["--settings", "nowhere.json"], "cannot read nowhere.json"),
        (["--folds", "90"], "for 90 parts"),
        (["--storage", "postgresql:half"], "search storage"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    trained: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = [] if "--features" in arguments or "--published" in arguments else QUICK[:2]
    assert main([*arguments, "--root", str(trained), *quick, "-q"]) == Status.USER
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert line in told[0]


def test_one_fold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--folds", "1"])
    assert ended.value.code == Status.USER
    assert "at least 2 and at most 100, got '1'" in capsys.readouterr().err.splitlines()[-1]


def test_a_fresh_clone_says_how_to_get_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    assert main(["--root", str(tmp_path)]) == Status.USER
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "data_pipeline.py fetch sts-tables" in told[0]
    assert "--demo" in told[0]


def test_the_demo_touches_nothing_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("sts.datasets.demo.TABLE_CELLS", 24)
    arguments = ["--root", str(tmp_path), "--demo", "--trials", "1", "--folds", "2", "-q"]
    assert main([*arguments, "--model", "logistic"]) == Status.DONE
    demo = tmp_path / "output" / "demo"
    assert card_of(demo, "engineered", "Logistic")["data"]["training_cells"] == 18
    assert not list((tmp_path / "data").iterdir())
    assert not (tmp_path / "models").exists()


def test_published_means_nothing_but_lightgbm_on_the_paper() -> None:
    job = make_table_job(published=True)
    assert job.variant == "published"
    assert make_table_job(published=True, times="onset").variant == "published-onset"
    assert make_table_job(features="paper", times="absolute").variant == "paper-absolute"
    with pytest.raises(StsError):
        make_table_job(published=True, features="engineered")
