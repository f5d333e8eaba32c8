"""EXPLAIN: saliency of a network in pictures and numbers, compared with an untrained network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import Run, start_run
from sts.base.types import CLASSES, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.store import SweepStore
from sts.evaluation.predictions import Predictions
from sts.networks.saliency import (
    SALIENCY_METHODS,
    TIMES_S,
    Attention,
    average_classes,
    correlate_with_random,
    integrated_gradients,
    measure_attention_by_class,
)
from sts.reports.figures.saliency import (
    WINDOW_MS,
    ClassSaliency,
    draw_class_saliency,
    draw_saliency,
)
from sts.reports.figures.scalogram import CellPicture, picture_of
from sts.reports.page import Picture, Section, Table, write_page
from sts.reports.publications.kept import CLASS_SALIENCY, list_class_saliency
from sts.scalograms.image import read_published
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, RATE_HZ, SAMPLES
from sts.studies.classify.networks.stored import OpenedStudy, StoredNetworkJob, open_study
from sts.studies.classify.pages import LeftOut, list_left_out

# Number of cells per class in an average: integrated gradients need dozens of passes per cell.
CELLS_A_CLASS: Final = 10
# Steps of integrated gradients: an average over cells needs fewer than a picture of one cell.
AVERAGE_STEPS: Final = 8
SANITY: Final = (
    "Rank correlation of each map with that of the same network with random weights (Adebayo et "
    "al., 2018): near 1 would mean that the map shows the image and not what was learned. "
    "Integrated gradients contain the image itself and stay similar to some degree."
)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The results of EXPLAIN."""

    folder: Path
    attention: Table
    """The attention by class."""
    random: dict[str, float]
    """Rank correlation with the maps of random weights, by method."""
    left_out: tuple[LeftOut, ...]


def explain_network(
    workspace: Workspace, job: StoredNetworkJob, *, device: str = "auto"
) -> Explained:
    """Draw the saliency of some cells and of the classes, and measure the attention."""
    if job.architecture.backbone.content == "trace":
        raise StsError(
            f"EXPLAIN draws on scalograms, and {job.architecture.backbone.name} takes none: give "
            "the number of another network"
        )
    opened = open_study(workspace, job, device=device)
    model, cohort, name = opened.model, opened.cohort, opened.model.run_name
    with start_run(workspace, study="sts-explain", what=name, settings=job) as run:
        held_out = cohort.open_holdout(f"EXPLAIN of {name}, {run.final.name}")
        rng = np.random.default_rng(job.seed)
        drawn = (
            cohort.rows_of(job.cells) if job.cells else _choose_one_a_class(opened, held_out, rng)
        )
        own_maps = {
            method: measure(model.model.network, model.bank, drawn, cohort.truth[drawn])
            for method, measure in SALIENCY_METHODS.items()
        }
        pictures = _draw_cells(run, opened, own_maps, drawn)
        many = _choose_many_a_class(cohort.truth, held_out, np.random.default_rng(job.seed))
        averages, attention = _explain_classes(run, opened, many)
        table = attention_table(attention)
        plain = replace(model.card.architecture, weights="none")
        random = correlate_with_random(plain, model.bank, drawn, cohort.truth[drawn], own_maps)
        sections = [
            Section("Where the attention is", [averages, table]),
            Section("Cells", pictures),
            Section("Is it learned?", [SANITY, _likeness_table(random)]),
            *list_left_out(run, opened.left_out),
        ]
        subtitle = f"{len(drawn)} cells drawn, {len(many)} held-out cells averaged"
        path = run.path / "report.html"
        write_page(path, f"What {name} looks at", subtitle=subtitle, sections=sections)
        run.report(
            {
                "model": {"name": name, "sha256": model.card.sha256},
                "attention": {label: asdict(shares) for label, shares in attention.items()},
                "likeness_to_random_weights": random,
                "cells": cohort.cells.specimen_id[drawn].tolist(),
                "left_out": len(opened.left_out),
            }
        )
    return Explained(folder=run.final, attention=table, random=random, left_out=opened.left_out)


def _explain_classes(
    run: Run, opened: OpenedStudy, many: Ints
) -> tuple[Picture, dict[str, Attention]]:
    """Draw the mean maps of these cells for each class, and measure the attention."""
    model, truth = opened.model, opened.cohort.truth[many]
    maps = integrated_gradients(model.model.network, model.bank, many, truth, steps=AVERAGE_STEPS)
    return _draw_classes(run, maps, truth), measure_attention_by_class(maps, truth, CLASSES)


def attention_table(attention: Mapping[str, Attention]) -> Table:
    """Return the shares of attention by time and by frequency, one row per class."""
    first = next(iter(attention.values()))
    rows: list[list[object]] = [
        [name, each.cells, *(f"{v:.2f}" for v in (*each.times.values(), *each.bands.values()))]
        for name, each in attention.items()
    ]
    even = (*first.even_times.values(), *first.even_bands.values())
    rows.append(["an even map", "", *(f"{value:.2f}" for value in even)])
    return Table(
        columns=["class", "cells", *TIMES_S, *first.bands],
        rows=rows,
        caption="Shares of attention by time from the stimulus onset, and by frequency.",
    )


def _likeness_table(random: Mapping[str, float]) -> Table:
    return Table(
        columns=["method", "rank correlation"],
        rows=[[name, f"{value:.2f}"] for name, value in random.items()],
    )


def _predict(opened: OpenedStudy, rows: Ints) -> Predictions:
    return opened.cohort.predictions(rows, opened.model.probabilities(rows))


def _choose_one_a_class(opened: OpenedStudy, rows: Ints, rng: np.random.Generator) -> Ints:
    """Return a held-out cell of each class, if possible one that is predicted correctly."""
    predictions = _predict(opened, rows)
    chosen = []
    for label in range(len(CLASSES)):
        of_class = np.flatnonzero(predictions.truth == label)
        right = of_class[predictions.prediction[of_class] == label]
        candidates = right if len(right) else of_class
        if len(candidates):
            chosen.append(int(rows[rng.choice(candidates)]))
    return np.array(chosen)


def _choose_many_a_class(truth: Ints, rows: Ints, rng: np.random.Generator) -> Ints:
    """Return a few held-out cells of each class, class by class."""
    classes = (rows[truth[rows] == label] for label in range(len(CLASSES)))
    return np.concatenate([np.sort(rng.permutation(each)[:CELLS_A_CLASS]) for each in classes])


def _picture(opened: OpenedStudy, row: int) -> CellPicture:
    """Return the picture of a cell for its maps: its sweeps, if they are known."""
    cells = opened.cohort.cells
    if isinstance(cells, SweepStore):
        return picture_of(cells.rows(np.array([row])))
    return CellPicture(
        specimen_id=str(cells.specimen_id[row]),
        label=str(cells.label[row]),
        dataset=str(cells.dataset[row]),
        traces=np.empty((0, SAMPLES)),
        scalograms=read_published(opened.paths[row]),
        freqs_hz=FREQS_HZ,
        amplitudes_pa=(np.nan, np.nan),
        rate_hz=RATE_HZ,
        onset_s=BEFORE_S,
    )


def _draw_cells(
    run: Run, opened: OpenedStudy, maps: Mapping[str, Floats], rows: Ints
) -> list[Picture]:
    drawn = []
    predictions = _predict(opened, rows)
    for at, row in enumerate(rows.tolist()):
        picture = _picture(opened, row)
        likely = predictions.probabilities[at]
        prediction = f"predicted {CLASSES[int(likely.argmax())]}, {likely.max():.0%}"
        files = draw_saliency(
            run.figures / f"saliency-{at}",
            picture,
            maps={name: found[at] for name, found in maps.items()},
            prediction=prediction,
        )
        drawn.append(Picture(files=files, caption=f"{picture.title}: {prediction}."))
    return drawn


def _draw_classes(run: Run, maps: Floats, classes: Ints) -> Picture:
    averages = [
        ClassSaliency(label=CLASSES[label], cells=int((classes == label).sum()), saliency=mean)
        for label, mean in average_classes(maps, classes, len(CLASSES)).items()
    ]
    list_class_saliency(averages).write(run.path / CLASS_SALIENCY)
    files = draw_class_saliency(
        run.figures / "class-saliency", averages, freqs_hz=FREQS_HZ, window_ms=WINDOW_MS
    )
    caption = "Class averages of integrated gradients, from the stimulus onset."
    return Picture(files=files, caption=caption)
