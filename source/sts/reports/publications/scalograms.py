"""The figures of the scalogram study (Amprimo et al., 2025)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.datasets.cells import require_stores
from sts.datasets.store import SweepStore, draw_one_a_class, load_store
from sts.evaluation.scores import POOLED, Interval, Scores, by_dataset
from sts.reports.figures.saliency import WINDOW_MS, draw_class_saliency
from sts.reports.figures.scalogram import (
    CLASS_COLUMNS,
    CellPicture,
    draw_cell,
    draw_classes,
    keep_strongest,
    picture_of,
)
from sts.reports.figures.scores import COMPARED_SCORES, ModelScores, draw_bars
from sts.reports.figures.style import SWEEP_TITLES, Paper
from sts.reports.figures.training import CURVES, draw_curves
from sts.reports.predictions import PREDICTIONS, read_predictions
from sts.reports.publications.kept import (
    CLASS_SALIENCY,
    DataTable,
    list_class_saliency,
    list_curves,
    read_class_saliency,
    read_curves,
)
from sts.reports.publications.source import FigureSource
from sts.scalograms.wavelet import FREQS_HZ


def draw_method(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw both sweeps of one cell above their scalograms."""
    picture = picture_of(_choose_cell(source))
    draw_cell(stem, picture, paper=paper)
    return _list_pictures([picture], sweeps=(0, 1))


def draw_one_of_each_class(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the second sweep and the scalogram of one cell of each class."""
    stores = [load_store(path) for path in require_stores(source.data)]
    rng = np.random.default_rng(source.seed)
    pictures = [picture_of(cell) for cell in draw_one_a_class(stores, rng)]
    if not pictures:
        raise StsError(f"no cell in {source.data} has a label: build with --labels")
    draw_classes(stem, pictures, paper=paper)
    return _list_pictures(pictures, sweeps=(1,))


def _choose_cell(source: FigureSource) -> SweepStore:
    stores = [load_store(path) for path in require_stores(source.data)]
    ids = [specimen for store in stores for specimen in store.specimen_id.tolist()]
    chosen = source.cell or str(np.random.default_rng(source.seed).choice(sorted(ids)))
    for store in stores:
        if (here := np.flatnonzero(store.specimen_id == chosen)).size:
            return store.rows(here[:1])
    raise StsError(f"no specimen {chosen!r} in the sweep stores of {source.data}")


def _list_pictures(pictures: Sequence[CellPicture], *, sweeps: Sequence[int]) -> DataTable:
    """Return traces and scalograms, a row for each trace and each frequency.

    Columns are the times at which they begin. A column has the extremes of the voltage and the
    strongest coefficient, as they are drawn.
    """
    rows: list[dict[str, Any]] = []
    for picture in pictures:
        width = -(-picture.traces.shape[-1] // CLASS_COLUMNS)
        times = [f"{time:g} ms" for time in picture.times_ms[::width].round(3).tolist()]
        for sweep in sweeps:
            about = {
                "specimen_id": picture.specimen_id,
                "class": picture.label,
                "sweep": SWEEP_TITLES[sweep],
                "amplitude (pA)": picture.amplitudes_pa[sweep],
            }
            for quantity, frequency, values in _list_values(picture, sweep, width):
                place = {"quantity": quantity, "frequency (Hz)": frequency}
                named = zip(times, values.astype(float).round(4).tolist(), strict=True)
                rows.append(about | place | dict(named))
    return DataTable.of(rows)


def _list_values(
    picture: CellPicture, sweep: int, width: int
) -> Iterator[tuple[str, float | None, Floats]]:
    """Yield what is drawn of a sweep: its voltage, and its coefficients at each frequency."""
    trace = picture.traces[sweep]
    starts = np.arange(0, len(trace), width)
    yield "lowest voltage (mV)", None, np.minimum.reduceat(trace, starts)
    yield "highest voltage (mV)", None, np.maximum.reduceat(trace, starts)
    image = keep_strongest(picture.scalograms[sweep], CLASS_COLUMNS)
    for frequency, values in zip(picture.freqs_hz.tolist(), image, strict=True):
        yield "coefficient (mV)", frequency, values


def draw_folds(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw loss and accuracy of the folds by epoch."""
    folds = read_curves(source.table(CURVES))
    draw_curves(stem, folds, paper=paper)
    return list_curves(folds)


def draw_models(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw balanced accuracy and weighted F1 of the models of several runs."""
    scores: dict[str, dict[str, Scores]] = {}
    for run in source.runs:
        rng = np.random.default_rng(source.seed)
        found = by_dataset(read_predictions(run / PREDICTIONS), rng=rng)
        parts = run.resolve().parts
        name = parts[-2] if parts[-2] not in scores else "/".join(parts[-2:])
        scores[name] = found
    first = next(iter(scores.values()))[POOLED]
    if any(each[POOLED].fingerprint != first.fingerprint for each in scores.values()):
        raise StsError("these runs have scored different cells: give runs of the same test cells")
    models = [
        ModelScores(
            name=name,
            scores=_intervals_of(found[POOLED]),
            by_dataset={n: _intervals_of(one) for n, one in found.items() if n != POOLED},
        )
        for name, found in scores.items()
    ]
    cells = f"{first.cells:,} held-out cells"
    draw_bars(stem, models, cells=cells, chance=1 / len(first.classes), paper=paper)
    return _list_scores(scores)


def _intervals_of(scores: Scores) -> dict[str, Interval]:
    return {name: getattr(scores, name) for name in COMPARED_SCORES}


def _list_scores(scores: dict[str, dict[str, Scores]]) -> DataTable:
    return DataTable.of(
        [
            {
                "model": model,
                "cells of": group,
                "cells": one.cells,
                "score": name,
                "value": interval.value,
                "low": interval.low,
                "high": interval.high,
            }
            for model, found in scores.items()
            for group, one in found.items()
            for name, interval in _intervals_of(one).items()
        ]
    )


def draw_attention(source: FigureSource, stem: Path, paper: Paper) -> DataTable:
    """Draw the mean saliency of each class."""
    averages = read_class_saliency(source.table(CLASS_SALIENCY))
    draw_class_saliency(stem, averages, freqs_hz=FREQS_HZ, window_ms=WINDOW_MS, paper=paper)
    return list_class_saliency(averages)
