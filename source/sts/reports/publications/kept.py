"""The data behind figures, as tables that runs keep: written once, read to draw again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.files import read_csv, write_csv
from sts.base.types import Floats
from sts.datasets.table import read_number
from sts.reports.figures.calcium import CurvePanel, HistogramPanel, TracePanel
from sts.reports.figures.saliency import ClassSaliency
from sts.reports.figures.training import (
    CURVE_COLUMNS,
    TRACKED_CURVES,
    FoldCurves,
    list_epochs,
)

CLASS_SALIENCY: Final = "class-saliency.csv"
TRACES: Final = "traces.csv"
HISTOGRAMS: Final = "histograms.csv"
SPECTRA: Final = "spectra.csv"
CORRELATIONS: Final = "correlations.csv"
DISTANCES: Final = "van-rossum.csv"
# Significant digits of values that are only drawn.
KEPT_DIGITS: Final = 5

TableRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """The data behind a figure, as they are written to CSV."""

    columns: Sequence[str]
    rows: TableRows

    @classmethod
    def of(cls, rows: TableRows) -> "DataTable":
        """Return a table with the columns of its first row."""
        return cls(columns=list(rows[0]) if rows else [], rows=rows)

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        write_csv(path, self.columns, self.rows)


def read_kept(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that a run keeps."""
    if not (rows := read_csv(path, [])):
        raise StsError(f"no row in {path}: run its command again")
    return rows


def _round(values: Floats) -> list[float]:
    return [float(f"{value:.{KEPT_DIGITS}g}") for value in np.asarray(values, dtype=float).tolist()]


def _find(row: Mapping[str, str], name: str) -> str:
    if name not in row:
        raise StsError(f"no column {name!r} in a table of a run: run its command again")
    return row[name]


def _number(row: Mapping[str, str], name: str) -> float:
    return read_number(_find(row, name), name)


def _whole(row: Mapping[str, str], name: str) -> int:
    number = _number(row, name)
    if number != round(number, 0):
        raise StsError(f"{name} is {row[name]!r} in a table of a run, a whole number is needed")
    return int(number)


def _numbers(row: Mapping[str, str]) -> Floats:
    """Return the values in the columns whose names are whole numbers, in their order."""
    return np.array([read_number(text, name) for name, text in row.items() if name.isdigit()])


def _spread(values: Floats) -> dict[str, Any]:
    """Return values as columns that are named by their place."""
    return {str(place): value for place, value in enumerate(_round(values))}


def list_curves(folds: Sequence[FoldCurves]) -> DataTable:
    """Return losses and accuracies, a row for each fold and epoch."""
    return DataTable(columns=CURVE_COLUMNS, rows=list(list_epochs(folds)))


def read_curves(rows: Sequence[Mapping[str, str]]) -> list[FoldCurves]:
    """Return the folds of a table of `list_curves`."""
    folds = []
    for _, group in groupby(rows, key=lambda row: _find(row, "fold")):
        own = list(group)
        best = [_whole(row, "epoch") for row in own if row.get("best") == "1"]
        curves = {name: [_number(row, name) for row in own] for name in TRACKED_CURVES}
        folds.append(FoldCurves(**curves, best_epoch=best[0] if best else None))
    return folds


def list_class_saliency(averages: Sequence[ClassSaliency]) -> DataTable:
    """Return mean maps, a row for each class, sweep and frequency, a column for each time."""
    return DataTable.of(
        [
            {"class": one.label, "cells": one.cells, "sweep": sweep, "row": row} | _spread(values)
            for one in averages
            for sweep, image in enumerate(one.saliency)
            for row, values in enumerate(image)
        ]
    )


def read_class_saliency(rows: Sequence[Mapping[str, str]]) -> list[ClassSaliency]:
    """Return the maps of a table of `list_class_saliency`."""
    averages = []
    for label, group in groupby(rows, key=lambda row: _find(row, "class")):
        own = list(group)
        values = np.stack([_numbers(row) for row in own])
        if len(values) % 2 or not values.size:
            raise StsError(f"the maps of {label} are not of two sweeps: run its command again")
        averages.append(
            ClassSaliency(
                label=label,
                cells=_whole(own[0], "cells"),
                saliency=values.reshape(2, -1, values.shape[1]),
            )
        )
    return averages


def list_traces(panels: Sequence[TracePanel]) -> DataTable:
    """Return windows of traces, a row for each neuron, a column for each frame."""
    rows: list[dict[str, Any]] = []
    for panel in panels:
        names = panel.neurons or range(len(panel.traces))
        for name, trace, spikes in zip(names, panel.traces, panel.spikes, strict=True):
            frames = " ".join(map(str, np.flatnonzero(spikes).tolist()))
            about = {"window": panel.title, "neuron": name, "frames of spikes": frames}
            rows.append(about | _spread(trace))
    return DataTable.of(rows)


def read_traces(rows: Sequence[Mapping[str, str]]) -> list[TracePanel]:
    """Return the windows of a table of `list_traces`."""
    panels = []
    for title, group in groupby(rows, key=lambda row: _find(row, "window")):
        own = list(group)
        traces = np.stack([_numbers(row) for row in own])
        spikes = np.zeros(traces.shape, dtype=bool)
        for at, row in enumerate(own):
            frames = [
                int(word) for word in _find(row, "frames of spikes").split() if word.isdecimal()
            ]
            spikes[at, [frame for frame in frames if frame < traces.shape[1]]] = True
        neurons = [_whole(row, "neuron") for row in own]
        panels.append(TracePanel(title=title, traces=traces, spikes=spikes, neurons=neurons))
    return panels


def list_histograms(panels: Sequence[HistogramPanel]) -> DataTable:
    """Return counts, a row for each quantity and bin, a column for each kind of windows."""
    return DataTable.of(
        [
            {"quantity": panel.title, "low": low, "high": high, "real": float(panel.real[at])}
            | {name: float(counts[at]) for name, counts in panel.others.items()}
            for panel in panels
            for at, (low, high) in enumerate(
                zip(_round(panel.edges[:-1]), _round(panel.edges[1:]), strict=True)
            )
        ]
    )


def read_histograms(rows: Sequence[Mapping[str, str]]) -> list[HistogramPanel]:
    """Return the panels of a table of `list_histograms`."""
    panels = []
    for title, group in groupby(rows, key=lambda row: _find(row, "quantity")):
        own = list(group)
        edges = [_number(row, "low") for row in own] + [_number(own[-1], "high")]
        real, others = _split_columns(own, about=("quantity", "low", "high"))
        panels.append(HistogramPanel(title=title, edges=np.array(edges), real=real, others=others))
    return panels


def list_spectra(panels: Sequence[CurvePanel]) -> DataTable:
    """Return curves, a row for each point, a column for each kind of windows."""
    return DataTable.of(
        [
            {"x label": panel.x_label, "y label": panel.y_label, "x": x, "real": real}
            | {name: _round(curve[at : at + 1])[0] for name, curve in panel.others.items()}
            for panel in panels
            for at, (x, real) in enumerate(zip(_round(panel.x), _round(panel.real), strict=True))
        ]
    )


def read_spectra(rows: Sequence[Mapping[str, str]]) -> list[CurvePanel]:
    """Return the panels of a table of `list_spectra`."""
    panels = []
    for labels, group in groupby(
        rows, key=lambda row: (_find(row, "x label"), _find(row, "y label"))
    ):
        own = list(group)
        real, others = _split_columns(own, about=("x label", "y label", "x"))
        x = np.array([_number(row, "x") for row in own])
        panels.append(
            CurvePanel(x_label=labels[0], y_label=labels[1], x=x, real=real, others=others)
        )
    return panels


def _split_columns(
    rows: Sequence[Mapping[str, str]], *, about: Sequence[str]
) -> tuple[Floats, dict[str, Floats]]:
    """Return the values of real windows, and those of the others by name."""
    names = [name for name in rows[0] if name not in about]
    values = {name: np.array([_number(row, name) for row in rows]) for name in names}
    if "real" not in values:
        raise StsError("no column 'real' in a table of a run: run its command again")
    return values.pop("real"), values


def list_matrices(matrices: Mapping[str, Floats]) -> DataTable:
    """Return matrices, a row for each of their rows."""
    return DataTable.of(
        [
            {"matrix": title, "row": at} | _spread(values)
            for title, matrix in matrices.items()
            for at, values in enumerate(matrix)
        ]
    )


def read_matrices(rows: Sequence[Mapping[str, str]]) -> dict[str, Floats]:
    """Return the matrices of a table of `list_matrices`, by title."""
    return dict(_stack_matrices(rows))


def _stack_matrices(rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Floats]]:
    for title, group in groupby(rows, key=lambda row: _find(row, "matrix")):
        yield title, np.stack([_numbers(row) for row in group])
