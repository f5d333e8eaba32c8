"""A benchmark on made-up neurons: through the command to a report, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from sts.augment.measures import LEARNER_SETTINGS
from sts.base.files import read_csv, read_json
from sts.base.workspace import Workspace
from sts.cli.augment import main
from sts.studies.augment import benchmark as benchmarking
from sts.studies.augment.benchmark import benchmark, ensure_tables
from sts.studies.augment.settings import make_benchmark_job
from tests.studies.augment.worlds import job_of, made_workspace


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than all cells together."""
    monkeypatch.setattr(benchmarking, "write_results", lambda run, results: None)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train boosted trees on synthetic rows for three rounds."""
    monkeypatch.setitem(LEARNER_SETTINGS, "lightgbm", {"n_estimators": 3})


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path)


def test_the_command_goes_all_the_way(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--root", str(place.root), "--task", "me", "--borrow", "--workers", "1", "-q"]
    arguments += ["--method", "smote", "weights", "--classifiers", "lda", "logistic"]
    arguments += ["--added", "10", "20", "--folds", "3", "--repeats", "1", "--plan"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "more neurons that bring as much" in said
    assert "Real neurons without labels" in said
    assert "Class weights" in said
    assert "SMOTE: macro F1" in said
    assert "nearest training cell at" in said
    (folder,) = (path.parent for path in place.output.glob("augment/me-*/*/DONE"))
    rows = read_csv(folder / "results.csv", ("method", "macro_f1", "recall_Exc_1", "how"))
    # 3 folds, 2 classifiers: 5 parts of the baseline, 2 levels of SMOTE, weights, borrowing with
    # labels and without.
    assert len(rows) == 3 * 2 * (5 + 2 + 1 + 2)
    keys = ("method", "repeat", "fold", "added", "part", "classifier")
    assert tuple(read_csv(folder / "times.csv", (*keys, "seconds"))[0]) == (*keys, "seconds")
    scores = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    assert tuple(rows[0])[: len(keys) + 4] == (*keys, *scores)
    about = ("setup", "how", "train_rows", "synthetic_rows", "scored_rows")
    assert tuple(rows[0])[-5:] == about
    verdicts = {row["verdict"] for row in read_csv(folder / "differences.csv", ("score",))}
    assert verdicts <= {"helps", "hurts", "cannot tell", "no verdict"}
    report = read_json(folder / "report.json")
    assert report["fidelity"]["none"]["nearest, training"] > 0
    assert "superseded" in report["left_out"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for said in (
        "partly circular",
        "Vasques and Cif (2025) report",
        "have to beat",
        "SMOTE: macro",
    ):
        assert said in page
    assert report["in_words"]["smote"]["new"].split(":")[0] in ("close to copies", "near")
    assert {note["method"] for note in report["notes"]} == {"smote", "weights"}
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "added.png",
        "baseline.png",
        "classes.png",
        "densities.png",
        "fidelity.png",
        "map.png",
        "plan.png",
    }
    plan = read_csv(folder / "plan.csv", ("class", "neurons", "gain", "more", "low", "high"))
    assert plan[0]["class"] == "all classes"
    assert len(plan) == 1 + len(report["classes"])
    sources = {row["source"] for row in read_csv(folder / "samples.csv", ("class", "vrest"))}
    assert sources == {"real, training", "real, held out", "SMOTE"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"smote": {"neighbours": 0}}', "smote: settings.neighbours must be at least 1"),
        ('{"smote": {"neighbors": 5}}', "did you mean 'neighbours'"),
        ('{"smote": {"neighbours": "five"}}', "must be a whole number, not 'five'"),
        ('{"smot": {}}', "did you mean 'smote'"),
        ('{"gan": {"loop": 3}}', "gan: settings.loop"),
        ('{"gan": 3}', "names and values are needed, not 3"),
        ("[]", "does not contain settings by method"),
        ("{", "not JSON"),
    ],
)
def test_settings_that_are_none_are_refused_before_anything_is_scored(
    place: Workspace, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    file = place.root / "settings.json"
    file.write_text(text, encoding="utf-8")
    assert main(["--root", str(place.root), "-q", "--settings", str(file)]) == 2
    assert reason in capsys.readouterr().err
    assert not place.output.exists()


@pytest.mark.usefixtures("undrawn")
def test_more_neighbours_than_a_class_has_are_as_many_as_it_has(place: Workspace) -> None:
    file = place.root / "settings.json"
    file.write_text('{"smote": {"neighbours": 500}}', encoding="utf-8")
    job = job_of(file=file, curves=False, classifiers=("naive-bayes",))
    results = benchmark(place, job, data=place.data, workers=1)
    assert results.failed == {}
    assert {note.partition(":")[0] for _, note in results.notes} == set(
        results.task.neurons.classes
    )


def test_the_papers_protocol_is_one_holdout_and_seeds(place: Workspace) -> None:
    job = make_benchmark_job(
        protocol="paper", classifiers=("mlp",), added=(5,), repeats=3, fidelity=False
    )
    results = benchmark(place, replace(job, curves=False), data=place.data, workers=1)
    base = [row for row in results.rows if row["method"] == "none"]
    assert [row["repeat"] for row in base] == [0, 1, 2]
    assert {row["fold"] for row in base} == {0}
    # Another seed is another fit on the same rows.
    assert len({row["log_loss"] for row in base}) == 3
    assert "too narrow" in (results.folder / "report.html").read_text(encoding="utf-8")


def test_given_features_are_those_of_all_samples_and_go_into_their_own_store(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(place.root), "--workers", "1", "-q", "--no-curves"]
    arguments += ["--classifiers", "naive-bayes", "--added", "5", "--folds", "3", "--repeats", "1"]
    assert main([*arguments, "--given", "tau=25:"]) == 0
    assert main([*arguments, "--no-fidelity"]) == 0
    assert "so no row is added" in capsys.readouterr().out
    (folder,) = (path.parent for path in place.output.glob("augment/*-given/*/DONE"))
    rows = read_csv(folder / "samples.csv", ("source", "class", "vrest"))
    assert {row["source"] for row in rows} == {"real, training", "real, held out", "SMOTE"}
    assert min(float(row["tau"]) for row in rows) >= 25
    assert "Added rows have tau=25:, as" in (folder / "report.html").read_text(encoding="utf-8")
    assert len(list(place.output.glob("augment/cells/*"))) == 2


@pytest.mark.usefixtures("undrawn")
def test_a_reduced_space_goes_through(place: Workspace) -> None:
    job = job_of(reducer="pca", components=4, space="reduced", fidelity=True, curves=False)
    results = benchmark(place, job, data=place.data, workers=1)
    features = {row["feature"] for row in results.fidelity if row["measure"] == "ks"}
    assert features == {f"component {number}" for number in range(1, 5)}


def test_demo_tables_are_written_once(tmp_path: Path) -> None:
    assert ensure_tables(tmp_path, "e") == tmp_path
    (path,) = tmp_path.glob("etypes/e-type.csv")
    before = path.stat().st_mtime_ns
    ensure_tables(tmp_path, "me")
    assert path.stat().st_mtime_ns == before


def test_dry_run_says_what_there_is_and_writes_nothing(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(place.root), "--dry-run", "-q", "--repeats", "1", "--folds", "3"]
    assert main([*arguments, "--classifiers", "LDA", "--reducer", "ISOMAP"]) == 0
    # 5 parts of the baseline and 3 levels of SMOTE in 3 folds.
    assert "24 scores, 0 of them stored" in capsys.readouterr().out
    assert not place.output.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--method", "smotte"], "unknown method 'smotte': did you mean 'smote'"),
        (["--task", "mee"], "did you mean 'me'"),
        (["--reducer", "ISOMOP"], "unknown reducer 'isomop': did you mean 'isomap'"),
        (["--space", "reduced"], "needs a --reducer"),
        (["--plan", "--no-curves"], "--plan needs learning curves over folds"),
        (["--borrow"], "--borrow is for --task me"),
        (["--given", "tau=9"], "hardly a row has exactly this value"),
        (["--given", "tau=9:", "--method", "weights"], "--given is for added rows, and weights"),
        (["--given", "tau=9:", "--space", "reduced", "--reducer", "pca"], "--given names features"),
        (["--protocol", "papers"], "did you mean 'paper'"),
        (["--classifiers", "knn"], "unknown classifier 'knn'"),
        (["--folds", "2"], "--folds must be at least 3"),
        (["--folds", "300"], "at least 2 and at most 100, got '300'"),
        (["--task", "me", "--folds", "100", "--classifiers", "lda"], "too few to divide"),
        (["--folds", "4", "--protocol", "paper"], "--folds is for --protocol cv"),
        (["--features", "all"], "unknown features 'all'"),
        (["--space", "smal"], "unknown space"),
        (["--data", "nowhere"], "nowhere is not a folder: --data names the one"),
        (["--data", __file__], "is not a folder"),
        (["--settings", "nowhere.json"], "nowhere.json"),
        (["--cluster", "tcp://example.org:1"], "refused cluster address"),
        (["--reducer", "pca", "--components", "90", "--classifiers", "lda"], "--components must"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    place: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    try:
        status = main(["--root", str(place.root), "-q", "--workers", "1", *arguments])
    except SystemExit as ended:
        # What argparse refuses.
        status = int(ended.code or 0)
    said = capsys.readouterr().err
    assert status == 2
    assert reason in said
