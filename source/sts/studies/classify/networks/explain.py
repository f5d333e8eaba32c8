"""EXPLAIN: what a network looks at, in pictures and numbers, and whether it had to learn that."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.runs import Run, start_run
from sts.base.types import CLASSES, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.store import SweepStore
from sts.evaluation.predictions import Predictions
from sts.networks.attention import TIMES_S, Attention, attention_by_class
from sts.networks.saliency import (
    METHODS,
    class_averages,
    integrated_gradients,
    random_correlation,
)
from sts.reports.figures.saliency import ClassSaliency, draw_class_saliency, draw_saliency
from sts.reports.figures.scalogram import CellPicture, picture_of
from sts.reports.page import Block, Picture, Section, Table, write_page
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, WINDOW_S
from sts.studies.classify.networks.cells import NetworkCohort
from sts.studies.classify.networks.looking import LookJob, Opened, open_study
from sts.studies.classify.networks.published import picture_of_published
from sts.studies.classify.pages import LeftOut, list_left_out

# Of these the class averages are made: integrated gradients cost dozens of passes a cell.
CELLS_A_CLASS: Final = 10
AVERAGED: Final = "integrated gradients"
# Averages over cells need fewer steps than a picture of one cell.
STEPS: Final = 8
WINDOW_MS: Final = (-BEFORE_S * 1e3, (WINDOW_S - BEFORE_S) * 1e3)
SANITY: Final = (
    "Rank correlation of each map with that of the same network with random weights (Adebayo et "
    "al., 2018): near 1 would mean that the map shows the image and not what was learnt. "
    "Integrated gradients contain the image itself and keep some likeness."
)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What EXPLAIN found."""

    folder: Path
    attention: Table
    """Where the attention lies, per class."""
    random: dict[str, float]
    """Rank correlation with the maps of random weights, by method."""
    left_out: tuple[LeftOut, ...]


def explain_network(workspace: Workspace, job: LookJob, *, device: str = "auto") -> Explained:
    """Draw saliency of some cells and of the classes, and say where the attention lies."""
    opened = open_study(workspace, job, device=device)
    model, cohort, what = opened.model, opened.cohort, opened.model.what
    with start_run(workspace, study="sts-explain", what=what, settings=job) as run:
        held_out = cohort.open_holdout(f"EXPLAIN of {what}, {run.final.name}")
        drawn = _drawn(opened, held_out, job)
        own_maps = maps_of(opened, drawn)
        pictures = _draw_cells(run, opened, own_maps, drawn)
        many = np.concatenate(list(_some_a_class(cohort, held_out, job.seed)))
        maps = integrated_gradients(
            model.model.network, model.bank, many, cohort.truth[many], steps=STEPS
        )
        averages = _draw_classes(run, maps, cohort.truth[many])
        found = attention_by_class(maps, cohort.truth[many], CLASSES)
        plain = replace(model.card.architecture, weights="none")
        random = random_correlation(plain, model.bank, drawn, cohort.truth[drawn], own_maps)
        table = attention_table(found)
        sections = _sections(pictures, averages, table, random)
        write_page(
            run.path / "report.html",
            f"What {what} looks at",
            subtitle=f"{len(drawn)} cells drawn, {len(many)} held-out cells averaged",
            sections=[*sections, *list_left_out(run, opened.left_out)],
        )
        run.report(
            {
                "model": {"name": what, "sha256": model.card.sha256},
                "attention": {name: asdict(each) for name, each in found.items()},
                "likeness_to_random_weights": random,
                "cells": cohort.cells.specimen_id[drawn].tolist(),
                "left_out": len(opened.left_out),
            }
        )
    return Explained(folder=run.final, attention=table, random=random, left_out=opened.left_out)


def attention_table(found: Mapping[str, Attention]) -> Table:
    """Return the shares of attention by time and by frequency, a row a class."""
    first = next(iter(found.values()))
    rows: list[list[object]] = [
        [name, each.cells, *(f"{v:.2f}" for v in (*each.times.values(), *each.bands.values()))]
        for name, each in found.items()
    ]
    even = (*first.even_times.values(), *first.even_bands.values())
    rows.append(["an even map", "", *(f"{value:.2f}" for value in even)])
    return Table(
        columns=["class", "cells", *TIMES_S, *first.bands],
        rows=rows,
        caption="Shares of attention by time from the stimulus onset, and by frequency.",
    )


def _drawn(opened: Opened, held_out: Ints, job: LookJob) -> Ints:
    """Return the rows of the cells that are drawn."""
    if job.cells:
        return opened.cohort.rows_of(job.cells)
    return _one_right_a_class(held_out, _predictions_of(opened, held_out), job.seed)


def _predictions_of(opened: Opened, rows: Ints) -> Predictions:
    return opened.cohort.predictions(rows, opened.model.probabilities(rows))


def _one_right_a_class(rows: Ints, said: Predictions, seed: int) -> Ints:
    """Return a held-out cell of each class, one that was called right where there is one."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(len(CLASSES)):
        of_class = np.flatnonzero(said.truth == label)
        right = of_class[said.prediction[of_class] == label]
        candidates = right if len(right) else of_class
        if len(candidates):
            chosen.append(int(rows[rng.choice(candidates)]))
    return np.array(chosen)


def _some_a_class(cohort: NetworkCohort, rows: Ints, seed: int) -> Iterator[Ints]:
    rng = np.random.default_rng(seed)
    for label in range(len(CLASSES)):
        of_class = rows[cohort.truth[rows] == label]
        yield np.sort(rng.permutation(of_class)[:CELLS_A_CLASS])


def maps_of(opened: Opened, rows: Ints) -> dict[str, Floats]:
    """Return the saliency of each cell's own class by every method, (cells, 2, H, W)."""
    model, targets = opened.model, opened.cohort.truth[rows]
    return {
        name: make(model.model.network, model.bank, rows, targets) for name, make in METHODS.items()
    }


def _picture(opened: Opened, row: int) -> CellPicture:
    """Return what is drawn of a cell beside its maps: its sweeps, where they are known."""
    cells = opened.cohort.cells
    if isinstance(cells, SweepStore):
        return picture_of(cells.rows(np.array([row])))
    return picture_of_published(cells, row, opened.paths[row])


def _draw_cells(run: Run, opened: Opened, maps: Mapping[str, Floats], rows: Ints) -> list[Picture]:
    drawn = []
    said = _predictions_of(opened, rows)
    for at, row in enumerate(rows.tolist()):
        picture = _picture(opened, row)
        likely = said.probabilities[at]
        called = f"called {CLASSES[int(likely.argmax())]}, {likely.max():.0%}"
        files = draw_saliency(
            run.figures / f"saliency-{at}",
            picture,
            maps={name: found[at] for name, found in maps.items()},
            prediction=called,
        )
        drawn.append(Picture(files=files, caption=f"{picture.title}: {called}."))
    return drawn


def _draw_classes(run: Run, maps: Floats, classes: Ints) -> Picture:
    averages = [
        ClassSaliency(label=CLASSES[label], cells=int((classes == label).sum()), saliency=mean)
        for label, mean in class_averages(maps, classes, len(CLASSES)).items()
    ]
    files = draw_class_saliency(
        run.figures / "class-saliency", averages, freqs_hz=FREQS_HZ, window_ms=WINDOW_MS
    )
    return Picture(files=files, caption=f"Class averages of {AVERAGED}, from the stimulus onset.")


def _sections(
    cells: list[Picture], classes: Picture, table: Table, random: Mapping[str, float]
) -> list[Section]:
    likeness = Table(
        columns=["method", "rank correlation"],
        rows=[[name, f"{value:.2f}"] for name, value in random.items()],
    )
    blocks: list[Block] = [classes, table]
    return [
        Section("Where the attention lies", blocks),
        Section("Cells", cells),
        Section("Is it learnt?", [SANITY, likeness]),
    ]
