"""The estimate of the time follows the work that is left, and knows every classifier."""

from pathlib import Path
from typing import Any

import pytest

from sts.base.workspace import Workspace
from sts.cli.augment import main
from sts.studies.augment import benchmark as benchmarking
from sts.studies.augment import estimate
from sts.studies.augment.benchmark import plan
from sts.studies.augment.estimate import FIT_S, REFERENCE_S, describe_time
from sts.tabular.classifiers import CLASSIFIERS
from tests.studies.augment.worlds import job_of, made_workspace


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on the core of the stored times."""
    monkeypatch.setattr(estimate, "_time_reference", lambda: REFERENCE_S)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path)


def test_every_classifier_has_a_time() -> None:
    assert set(FIT_S) == set(CLASSIFIERS)


def test_more_work_takes_longer(place: Workspace) -> None:
    def seconds(**changes: Any) -> float:
        return plan(place, job_of(**changes), data=place.data).seconds

    plain = seconds()
    assert 0 < plain < 60
    assert seconds(added=(500,)) > plain
    assert seconds(fidelity=True) == pytest.approx(plain + 2 * 3 * estimate.FIDELITY_S)
    assert seconds(methods=("vae",)) > plain + 30
    assert seconds(repeats=2) < 2 * plain  # Learning curves are drawn once.
    assert seconds(tune=True) > plain
    assert seconds(methods=("thresholds",)) > seconds(methods=("priors",))


def test_a_slower_machine_takes_longer(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan(place, job_of(), data=place.data).seconds
    monkeypatch.setattr(estimate, "_time_reference", lambda: 3 * REFERENCE_S)
    assert plan(place, job_of(), data=place.data).seconds == pytest.approx(3 * before)


def test_several_reducers_are_one_command_that_goes_on(
    place: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarking, "write_results", lambda run, results: None)
    arguments = ["--root", str(place.root), "--workers", "1", "-q", "--protocol", "paper"]
    arguments += ["--classifiers", "lda", "--added", "5", "--repeats", "1", "--no-fidelity"]
    arguments += ["--components", "4", "--reducer"]
    assert main([*arguments, "none", "pca"]) == 0
    said = capsys.readouterr().out
    # The whole estimate comes before the first score.
    assert said.index("of processor time in all") < said.index("nothing added")
    assert said.count("--reducer pca") == 2
    assert len(list(place.output.glob("augment/cells/*"))) == 2
    assert main([*arguments, "all", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for name in ("none", "pca", "ica", "svd", "isomap", "lle", "nca"):
        assert said.count(f"--reducer {name}\n") == 1
    stored = [line for line in said.splitlines() if " of them stored in " in line]
    assert [line.split(", ")[1].split()[0] for line in stored] == [
        "6",
        "6",
        "0",
        "0",
        "0",
        "0",
        "0",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(10, "less than a minute"), (1500, "25 min"), (57_600, "16.0 h")]
)
def test_times_are_rounded(seconds: float, words: str) -> None:
    assert describe_time(seconds) == words
