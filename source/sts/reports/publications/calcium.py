"""The figures of CalciumGAN (Li et al., 2020), from runs of training and of evaluation."""

from pathlib import Path

from sts.base.errors import StsError
from sts.reports.figures.calcium import (
    draw_histograms,
    draw_matrices,
    draw_spectra,
    draw_traces,
    draw_training,
)
from sts.reports.figures.style import Paper
from sts.reports.publications.kept import (
    CORRELATIONS,
    DISTANCES,
    HISTOGRAMS,
    SPECTRA,
    TRACES,
    DataTable,
    list_histograms,
    list_matrices,
    list_spectra,
    list_traces,
    read_histograms,
    read_matrices,
    read_spectra,
    read_traces,
)
from sts.reports.publications.source import FigureSource


def draw_gan_training(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the critic's distance and the score of generated windows, by step."""
    report = source.report()
    try:
        rows = [
            {name: check[name] for name in ("step", "distance", "score")}
            for check in report["checks"]
        ]
        best = int(report["model"]["best_step"])
    except (KeyError, TypeError, ValueError) as error:
        raise StsError(f"{source.run} is not a run of `calcium_gan.py train`") from error
    columns = [[row[name] for row in rows] for name in ("step", "distance", "score")]
    draw_training(stem, columns[0], columns[1], columns[2], best_step=best, paper=paper)
    return DataTable.of([row | {"kept": int(row["step"] == best)} for row in rows])


def draw_windows(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw a real window and two generated ones, with their spikes."""
    panels = read_traces(source.table(TRACES))
    try:
        rate_hz = float(source.report()["model"]["rate_hz"])
    except (KeyError, TypeError, ValueError) as error:
        raise StsError(f"{source.run / 'report.json'} does not state a rate") from error
    draw_traces(stem, panels, rate_hz=rate_hz, paper=paper)
    return list_traces(panels)


def draw_spike_statistics(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the distributions of spike statistics of real and generated windows."""
    panels = read_histograms(source.table(HISTOGRAMS))
    draw_histograms(stem, panels, paper=paper)
    return list_histograms(panels)


def draw_correlations(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the correlations of all pairs of neurons, real and generated."""
    squares = read_matrices(source.table(CORRELATIONS))
    if any(len(set(one.shape)) > 1 for one in squares.values()):
        raise StsError(f"{source.run / CORRELATIONS} has a matrix that is not square")
    draw_matrices(stem, squares, label="correlation of counts in 0.5 s", paper=paper)
    return list_matrices(squares)


def draw_distances(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw van Rossum distances between trains of one neuron, real and generated."""
    matrices = read_matrices(source.table(DISTANCES))
    draw_matrices(
        stem,
        matrices,
        label="van Rossum distance",
        diverging=False,
        axes_labels=("real train", "train"),
        paper=paper,
    )
    return list_matrices(matrices)


def draw_curves_of_windows(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw autocorrelation and power spectrum of real and generated traces."""
    panels = read_spectra(source.table(SPECTRA))
    draw_spectra(stem, panels, paper=paper)
    return list_spectra(panels)
