"""The table of the figures of the published studies: name, content and origin of each."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sts.base.errors import one_of
from sts.base.files import make_folder, write_text
from sts.reports.figures.style import TWO_COLUMNS
from sts.reports.figures.training import CURVES
from sts.reports.predictions import PREDICTIONS
from sts.reports.publications import augment, calcium, scalograms
from sts.reports.publications.augment import DIFFERENCES, FIDELITY_MEASURES, RESULTS
from sts.reports.publications.kept import (
    CLASS_SALIENCY,
    CORRELATIONS,
    DISTANCES,
    HISTOGRAMS,
    SPECTRA,
    TRACES,
)
from sts.reports.publications.source import FigureSource, Publication, check_runs

STS_TRAIN: Final = "sts_pipeline.py N TRAIN"
STS_EXPLAIN: Final = "sts_pipeline.py N EXPLAIN"
BENCHMARK: Final = "augment_benchmark.py"
AUGMENT_FILES: Final = (RESULTS, DIFFERENCES, FIDELITY_MEASURES, "report.json")
GAN_TRAIN: Final = "calcium_gan.py train"
GAN_EVALUATE: Final = "calcium_gan.py evaluate"
_of_benchmark = partial(Publication, paper=TWO_COLUMNS, made_by=BENCHMARK, files=AUGMENT_FILES)

# sts-3 to sts-5 show what the figures of these numbers show in the paper. The other numbers follow
# the order of the results of each study.
PUBLICATIONS: Final[dict[str, Publication]] = {
    "sts-1": Publication(
        shows="The method: both sweeps of a cell, their currents, and their scalograms.",
        paper=TWO_COLUMNS,
        draw=scalograms.draw_method,
    ),
    "sts-2": Publication(
        shows="The second sweep and the scalogram of one cell of each class.",
        paper=TWO_COLUMNS,
        draw=scalograms.draw_one_of_each_class,
    ),
    "sts-3": Publication(
        shows="Loss and accuracy by epoch: thin lines are folds, thick lines their mean, bands "
        "their standard deviation.",
        paper=TWO_COLUMNS,
        draw=scalograms.draw_folds,
        made_by=STS_TRAIN,
        files=(CURVES,),
    ),
    "sts-4": Publication(
        shows="Balanced accuracy and weighted F1 of models on the same held-out cells, with 95 % "
        "intervals, and by data set. Give --run once for each model.",
        paper=TWO_COLUMNS,
        draw=scalograms.draw_models,
        made_by="sts_pipeline.py or baseline_pipeline.py, TRAIN or TEST",
        files=(PREDICTIONS,),
        several=True,
    ),
    "sts-5": Publication(
        shows="Mean saliency of each class (integrated gradients): its share by time above, and "
        "the maps of both sweeps.",
        paper=TWO_COLUMNS,
        draw=scalograms.draw_attention,
        made_by=STS_EXPLAIN,
        files=(CLASS_SALIENCY,),
    ),
    "augment-2": _of_benchmark(
        shows="Accuracy and macro F1 of every classifier on real neurons alone, with 95 % "
        "intervals, and learning curves.",
        draw=augment.draw_without_rows,
    ),
    "augment-3": _of_benchmark(
        shows="Accuracy and macro F1 against the number of synthetic rows added to each class, "
        "with 95 % intervals.",
        draw=augment.draw_with_rows,
    ),
    "augment-4": _of_benchmark(
        shows="Change in recall of each class at the smallest number of added rows; bold where "
        "its interval excludes 0.",
        draw=augment.draw_recalls,
    ),
    "augment-5": _of_benchmark(
        shows="Fidelity: Kolmogorov-Smirnov distance of every class and feature to held-out "
        "cells, real training cells first.",
        draw=augment.draw_realism,
    ),
    "calcium-1": Publication(
        shows="Training: the critic's distance, and how unlike the validation windows the "
        "generated ones are.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_gan_training,
        made_by=GAN_TRAIN,
        files=("report.json",),
    ),
    "calcium-2": Publication(
        shows="A real window of traces and two generated ones, each neuron on the same scale; "
        "marks are spikes that OASIS finds.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_windows,
        made_by=GAN_EVALUATE,
        files=(TRACES, "report.json"),
    ),
    "calcium-3": Publication(
        shows="Distributions of rates, correlations, van Rossum distances and inter-spike "
        "intervals of real, generated and shuffled windows.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_spike_statistics,
        made_by=GAN_EVALUATE,
        files=(HISTOGRAMS,),
    ),
    "calcium-4": Publication(
        shows="Correlations of all pairs of neurons in real and in generated windows.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_correlations,
        made_by=GAN_EVALUATE,
        files=(CORRELATIONS,),
    ),
    "calcium-5": Publication(
        shows="Van Rossum distances between trains of one neuron, sorted by their number of "
        "spikes: among real ones, and between real and generated ones.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_distances,
        made_by=GAN_EVALUATE,
        files=(DISTANCES,),
    ),
    "calcium-6": Publication(
        shows="Autocorrelation and power spectrum of real, generated and shuffled traces.",
        paper=TWO_COLUMNS,
        draw=calcium.draw_curves_of_windows,
        made_by=GAN_EVALUATE,
        files=(SPECTRA,),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """The files of one figure."""

    files: tuple[Path, ...]
    caption: str


def draw_publication(name: str, source: FigureSource, out: Path) -> Published:
    """Draw a figure into a folder as PDF and PNG, with its data as CSV and its caption as text."""
    figure = PUBLICATIONS[one_of(name, PUBLICATIONS, "figure")]
    check_runs(name, figure, source.runs)
    make_folder(out)
    stem = out / name
    figure.draw(source, stem, figure.paper).write(stem.with_suffix(".csv"))
    write_text(stem.with_suffix(".txt"), f"{figure.shows}\n")
    files = tuple(stem.with_suffix(f".{kind}") for kind in ("pdf", "png", "csv", "txt"))
    return Published(files=files, caption=figure.shows)
