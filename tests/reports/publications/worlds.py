"""Small runs, one for every figure of a publication."""

from pathlib import Path
from typing import Any

import numpy as np

from sts.augment.grid import BASELINE, score_columns
from sts.base.files import write_csv, write_json
from sts.base.types import CLASSES
from sts.datasets.store import write_store
from sts.evaluation.predictions import PLAIN_SCORES, RECALL
from sts.reports.benchmark_scores import GAIN_COLUMNS, Gain
from sts.reports.figures.calcium import CurvePanel, HistogramPanel, TracePanel
from sts.reports.figures.saliency import ClassSaliency
from sts.reports.figures.training import CURVES, TRACKED_CURVES, FoldCurves, write_curves
from sts.reports.predictions import PREDICTIONS, write_predictions
from sts.reports.publications import kept
from sts.reports.publications.augment import DIFFERENCES, FIDELITY_MEASURES, RESULTS
from sts.studies.augment.pages import FIDELITY_COLUMNS
from sts.studies.augment.results import compare_with_baseline
from tests.datasets.stores import make_store
from tests.evaluation.worlds import make_predictions

E_TYPES = {"Exc_1": 20, "Inh_1": 12}


def write_runs(folder: Path) -> dict[str, Path]:
    """Write a run for each command and return their folders by the begin of figures' names."""
    runs = {
        "sts": folder / "sts" / "ResNet18-NONE" / "1",
        "augment": folder / "augment" / "e-smote" / "1",
        "calcium": folder / "calcium-evaluate" / "demo" / "1",
    }
    for run in runs.values():
        run.mkdir(parents=True)
        write_json(run / "settings.json", {"seed": 0})
    _write_network(runs["sts"])
    _write_benchmark(runs["augment"])
    _write_calcium(runs["calcium"])
    return runs


def write_data(folder: Path) -> Path:
    """Write a data folder with a sweep store."""
    folder.mkdir()
    store = make_store(4)
    # Noise has so many corners that drawing it takes long.
    store.traces[:] = -70.0 + np.linspace(0.0, 5.0, 4)[:, None, None]
    store.traces[:, :, 1000::800] = 30.0
    write_store(folder / "sweeps.h5", store)
    return folder


def make_folds() -> list[FoldCurves]:
    """Return folds of different length, one of them with a loss that is not finite."""
    folds = []
    for epochs in (3, 4):
        values = np.linspace(1.0, 0.5, epochs).tolist()
        names = TRACKED_CURVES
        folds.append(FoldCurves(**dict.fromkeys(names, values), best_epoch=2))
    return folds


def make_saliency() -> list[ClassSaliency]:
    """Return the maps of two classes."""
    rng = np.random.default_rng(0)
    return [
        ClassSaliency(label=name, cells=3, saliency=rng.normal(0, 1, (2, 6, 20)))
        for name in CLASSES[:2]
    ]


def make_panels() -> list[TracePanel]:
    """Return two windows of three neurons."""
    rng = np.random.default_rng(0)
    traces = rng.normal(0, 1, (2, 3, 40))
    return [
        TracePanel(title=title, traces=each, spikes=each > 1.5, neurons=[2, 5, 7])
        for title, each in zip(("real", "generated"), traces, strict=True)
    ]


def make_histograms() -> list[HistogramPanel]:
    """Return two quantities of real windows and of two other kinds."""
    others = {"generated": np.array([3.0, 4.0]), "shuffled": np.array([5.0, 2.0])}
    edges = np.array([0.0, 0.5, 1.0])
    return [
        HistogramPanel(title=title, edges=edges, real=np.array([4.0, 3.0]), others=others)
        for title in ("rate (Hz)", "correlation")
    ]


def make_spectra() -> list[CurvePanel]:
    """Return two kinds of curves."""
    x = np.arange(1.0, 5.0)
    return [
        CurvePanel(x_label=f"x {n}", y_label="y", x=x, real=x / 2, others={"generated": x / 3})
        for n in range(2)
    ]


def make_matrices() -> dict[str, Any]:
    """Return two matrices, one with a value that is not known."""
    known = np.arange(9.0).reshape(3, 3) / 9
    other = known.T.copy()
    other[0, 1] = np.nan
    return {"real": known, "generated": other}


def make_scores() -> list[dict[str, Any]]:
    """Return the scores of a method and of the baseline, in three folds."""
    rng = np.random.default_rng(0)
    names = [*PLAIN_SCORES, *(RECALL + name for name in E_TYPES)]
    rows = []
    for fold in range(3):
        for method, added, part in ((BASELINE, 0, 0.5), (BASELINE, 0, 1.0), ("smote", 100, 1.0)):
            for classifier in ("lda", "tree"):
                scores = dict(zip(names, rng.uniform(0.4, 0.9, len(names)).tolist(), strict=True))
                key = {"method": method, "repeat": 0, "fold": fold, "added": added, "part": part}
                about = {"setup": "", "how": "", "train_rows": 200, "scored_rows": 100}
                rows.append(key | {"classifier": classifier} | scores | about)
    return rows


def make_gains() -> list[Gain]:
    """Return the differences of these scores from the baseline."""
    return compare_with_baseline(make_scores(), protocol="cv")


def make_fidelity() -> list[dict[str, Any]]:
    """Return the distances of two features in two classes."""
    return [
        {"method": method, "repeat": 0, "fold": 0, "measure": "ks", "against": "held-out"}
        | {"label": label, "feature": feature, "value": 0.25}
        for method in (BASELINE, "smote")
        for label in E_TYPES
        for feature in ("vrest", "tau")
    ]


def _write_network(run: Path) -> None:
    write_curves(run / CURVES, make_folds())
    kept.list_class_saliency(make_saliency()).write(run / kept.CLASS_SALIENCY)
    write_predictions(run / PREDICTIONS, make_predictions(60))


def _write_benchmark(run: Path) -> None:
    write_csv(run / RESULTS, score_columns(tuple(E_TYPES)), make_scores())
    write_csv(run / DIFFERENCES, GAIN_COLUMNS, [gain.to_row() for gain in make_gains()])
    write_csv(run / FIDELITY_MEASURES, FIDELITY_COLUMNS, make_fidelity())
    job = {"classifiers": ["lda", "tree"], "added": [100], "protocol": "cv"}
    write_json(run / "report.json", {"job": job, "classes": E_TYPES})


def _write_calcium(run: Path) -> None:
    kept.list_traces(make_panels()).write(run / kept.TRACES)
    kept.list_histograms(make_histograms()).write(run / kept.HISTOGRAMS)
    kept.list_spectra(make_spectra()).write(run / kept.SPECTRA)
    for name in (kept.CORRELATIONS, kept.DISTANCES):
        kept.list_matrices(make_matrices()).write(run / name)
    checks = [{"step": 10 * n, "distance": 1.0 / n, "score": 0.5 / n} for n in (1, 2, 3)]
    model = {"rate_hz": 20.0, "best_step": 20}
    write_json(run / "report.json", {"checks": checks, "model": model})
