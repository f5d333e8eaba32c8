"""The figures that `evaluate` leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.runs import Run
from sts.base.types import Bools, Floats
from sts.calcium.checkpoint import GanCard
from sts.calcium.compare import QUANTITIES, SILENT, histogram
from sts.calcium.deconvolve import deconvolve
from sts.calcium.measures import Measures, van_rossum
from sts.reports.blocks import Block, Picture
from sts.reports.figures.calcium import (
    CurvePanel,
    HistogramPanel,
    TracePanel,
    draw_histograms,
    draw_matrices,
    draw_spectra,
    draw_traces,
)

GENERATED: Final = "generated"
# Trains of one neuron in a heat map.
MOST_TRAINS: Final = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What the figures show."""

    real: Floats
    generated: Floats
    measured: dict[str, Measures]
    edges: dict[str, Floats]


def pictures(run: Run, card: GanCard, judged: Judged) -> list[Block]:
    """Draw the figures and return them with their captions."""
    panels = [
        TracePanel(title=title, traces=each, spikes=deconvolve(each, card.oasis).spikes > 0)
        for title, each in (
            ("real", judged.real[0]),
            ("generated", judged.generated[0]),
            ("generated, another", judged.generated[-1]),
        )
    ]
    traces = draw_traces(run.figures / "traces", panels, rate_hz=card.rate_hz, unit=card.unit)
    histograms = draw_histograms(run.figures / "histograms", _histograms(judged))
    return [
        Picture(files=traces, caption="A window of the test stretch and two generated ones."),
        Picture(files=histograms, caption="Distributions that the divergences compare."),
        Picture(
            files=draw_spectra(run.figures / "curves", _curves(judged, card.rate_hz)),
            caption="Autocorrelation and power spectrum of the traces, means over neurons.",
        ),
        *_matrices(run, card, judged),
    ]


def _curves(judged: Judged, rate_hz: float) -> list[CurvePanel]:
    shown = {name: each for name, each in judged.measured.items() if name != "real"}
    real = judged.measured["real"]
    lags = np.arange(1, len(real.autocorrelation) + 1) / rate_hz
    # The power at 0 Hz is left out, the last one is at half the frame rate or just below.
    points = len(real.spectrum)
    length = min(256, judged.real.shape[-1])
    frequencies = np.arange(1, points + 1) * rate_hz / length
    return [
        CurvePanel(
            x_label="lag (s)",
            y_label="autocorrelation",
            x=lags,
            real=real.autocorrelation,
            others={name: each.autocorrelation for name, each in shown.items()},
        ),
        CurvePanel(
            x_label="frequency (Hz)",
            y_label="part of the power (dB)",
            x=frequencies,
            real=decibels(real.spectrum),
            others={name: decibels(each.spectrum) for name, each in shown.items()},
        ),
    ]


def decibels(spectrum: Floats) -> Floats:
    """Return a spectrum in dB, what is silent at the level below which none is told apart."""
    return np.asarray(10 * np.log10(np.maximum(spectrum, SILENT * spectrum.max())))


def _histograms(judged: Judged) -> list[HistogramPanel]:
    shown = {name: each for name, each in judged.measured.items() if name != "real"}
    return [
        HistogramPanel(
            title=title,
            edges=judged.edges[name],
            real=histogram(getattr(judged.measured["real"], name), judged.edges[name]),
            others={
                other: histogram(getattr(each, name), judged.edges[name])
                for other, each in shown.items()
            },
        )
        for name, title in QUANTITIES.items()
    ]


def _matrices(run: Run, card: GanCard, judged: Judged) -> Sequence[Block]:
    neurons = card.networks.neurons
    squares = {
        title: _square(judged.measured[name].correlations, neurons)
        for title, name in (("real", "real"), ("generated", GENERATED))
    }
    correlations = draw_matrices(
        run.figures / "correlations", squares, label="correlation of counts in 0.5 s"
    )
    real, generated = judged.measured["real"], judged.measured[GENERATED]
    shown = int(np.argmax(np.minimum(real.rates_hz, generated.rates_hz)))
    first, second = (
        _ordered(deconvolve(each[:MOST_TRAINS, shown], card.oasis).spikes > 0)
        for each in (judged.real, judged.generated)
    )
    distances = draw_matrices(
        run.figures / "van-rossum",
        {
            "real and real": van_rossum(first, card.rate_hz),
            "real and generated": van_rossum(first, card.rate_hz, second),
        },
        label="van Rossum distance",
        diverging=False,
        axes_labels=("real train", "train"),
    )
    return [
        Picture(files=correlations, caption="Correlations of all pairs of neurons."),
        Picture(
            files=distances,
            caption=f"Distances between trains of neuron {card.neurons[shown]}, each ordered by "
            "its number of spikes: alike where both panels look alike.",
        ),
    ]


def _square(values: Floats, neurons: int) -> Floats:
    matrix = np.eye(neurons)
    rows, columns = np.triu_indices(neurons, k=1)
    matrix[rows, columns] = matrix[columns, rows] = values
    return matrix


def _ordered(trains: Bools) -> Floats:
    return np.asarray(trains[np.argsort(trains.sum(axis=1), kind="stable")].astype(float))
