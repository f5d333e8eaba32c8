"""The report of `evaluate`: figures and tables that compare generated and real windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.base.types import Bools, Floats
from sts.calcium.checkpoint import GanCard
from sts.calcium.compare import (
    COMPARED_QUANTITIES,
    LEAST_POWER,
    SCORED,
    Copying,
    Likeness,
    Measures,
    count_values,
    measure_van_rossum,
)
from sts.calcium.downstream import DecoderScore
from sts.calcium.fluorescence import deconvolve
from sts.reports.figures.calcium import (
    CurvePanel,
    HistogramPanel,
    TracePanel,
    choose_neurons,
    draw_histograms,
    draw_matrices,
    draw_spectra,
    draw_traces,
)
from sts.reports.page import Block, Code, Facts, Picture, Section, Table, write_page
from sts.reports.publications.kept import (
    CORRELATIONS,
    DISTANCES,
    HISTOGRAMS,
    SPECTRA,
    TRACES,
    list_histograms,
    list_matrices,
    list_spectra,
    list_traces,
)
from sts.reports.tables import settings_table

# Name of the generated windows.
GENERATED: Final = "generated"
# Largest number of spike trains of one neuron in a heat map.
MOST_TRAINS: Final = 60
COMPARISON_NOTE: Final = (
    "Each row compares windows of one kind with the same real test windows: equally many windows, "
    "deconvolved in the same way. The row below the generated windows is the floor: real windows "
    "of the training stretch. Phase-shuffled windows keep spectra and linear correlations and lose "
    "the shape of transients. For independent neurons the windows of each neuron are shuffled "
    "separately."
)
HELP: Final = (
    "The trace of every neuron is predicted from all others by ridge regression; the table shows "
    "the explained fraction of the variance of the held-out test windows. Penalty and weight of "
    "the generated windows (0: not used) are chosen on the validation windows. The generator was "
    "trained on all training windows. So only the last row, where the decoder was trained on all "
    "of them too, shows whether generated windows add anything; the rows above show how much of "
    "the training windows the generator passes on."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedWindows:
    """The data of the figures."""

    real: Floats
    generated: Floats
    measures: dict[str, Measures]
    edges: dict[str, Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class GanEvaluation:
    """The results of `evaluate`."""

    folder: Path
    likeness: dict[str, Likeness]
    """Scores of the generated windows, the lower limit and the controls."""
    copying: Copying
    truth: dict[str, dict[str, float]]
    """Errors of rates and covariances from the true spikes; empty if these are not known."""
    decoders: list[DecoderScore]


def write_pages(
    run: Run,
    card: GanCard,
    compared: ComparedWindows,
    evaluation: GanEvaluation,
    population: list[Block],
) -> None:
    """Draw the figures and write report.html; `population` is what its judge says."""
    sections = [
        Section(
            "Likeness",
            [
                _make_headline(evaluation),
                COMPARISON_NOTE,
                _tabulate_likeness(evaluation),
                *_tabulate_truth(evaluation),
            ],
        ),
        Section("Side by side", _draw_pictures(run, card, compared)),
        Section("Population", population),
        Section("Copying", [describe_window_copies(evaluation.copying)]),
        Section("Does it help?", [HELP, _tabulate_decoders(evaluation)]),
        Section(
            "Settings",
            [
                settings_table({k: v for k, v in to_dict(card).items() if k != "neurons"}),
                Code(f"python source/calcium_gan.py evaluate --name {card.name}"),
            ],
        ),
    ]
    write_page(
        run.path / "report.html",
        f"Generated calcium of {card.name}",
        subtitle=f"{len(compared.real)} test windows of {card.networks.neurons} neurons, "
        f"{card.networks.length / card.rate_hz:.1f} s each, at {card.rate_hz:g} Hz",
        sections=sections,
    )


def _make_headline(evaluation: GanEvaluation) -> Facts:
    rows = list(evaluation.likeness.values())
    generated, floor, independent = rows[0].divergences, rows[1].divergences, rows[-1].divergences
    return Facts(
        [
            (
                COMPARED_QUANTITIES[name].split(" (")[0],
                f"{generated[name]:.3f}",
                f"nats; real {floor[name]:.3f}, independent {independent[name]:.3f}",
            )
            for name in SCORED
        ]
    )


def _tabulate_likeness(evaluation: GanEvaluation) -> Table:
    return Table(
        columns=[
            "windows",
            *(f"KL {name.split(' (')[0]}" for name in COMPARED_QUANTITIES.values()),
            "autocorrelation",
            "spectrum (dB)",
            "rates",
            "covariances",
        ],
        rows=[
            [
                name,
                *each.divergences.values(),
                each.autocorrelation_error,
                each.spectrum_error_db,
                each.rate_error,
                each.covariance_error,
            ]
            for name, each in evaluation.likeness.items()
        ],
        caption="KL(real || these) of 30 bins in nats; then errors: root mean square of the "
        "autocorrelation and of the spectrum, median relative error of rates, relative error of "
        "the frames' covariances.",
    )


def _tabulate_truth(evaluation: GanEvaluation) -> list[Block]:
    if not evaluation.truth:
        return []
    return [
        Table(
            columns=["windows", "median relative error of rates", "relative error of covariances"],
            rows=[[name, *each.values()] for name, each in evaluation.truth.items()],
            caption="Compared with the true spikes of the test stretch. The errors in the first "
            "row come from deconvolution alone.",
        )
    ]


def describe_window_copies(copying: Copying) -> str:
    """Return in words whether generated windows copy training windows."""
    return (
        "The distance of a generated window to the nearest training window is "
        f"{copying.generated:.2f} of its median distance to all of them; for an unseen real window "
        f"it is {copying.unseen:.2f} (medians). {100 * copying.copies:.1f} % of the generated "
        "windows are nearer than 99 % of the unseen ones; for a generator that repeats its "
        "training windows nearly all would be."
    )


def _tabulate_decoders(evaluation: GanEvaluation) -> Table:
    return Table(
        columns=["real windows", "real alone", "with generated", "difference", "weight"],
        rows=[
            [
                decoder.windows,
                decoder.real.in_words(),
                decoder.both.in_words(),
                decoder.difference.in_words(4),
                decoder.weight,
            ]
            for decoder in evaluation.decoders
        ],
        caption="Explained variance; in brackets 95 % intervals over the test windows, paired for "
        "the difference.",
    )


def _draw_pictures(run: Run, card: GanCard, compared: ComparedWindows) -> list[Block]:
    """Draw the figures and return them with their captions."""
    shown = choose_neurons(compared.real[0])
    panels = [
        TracePanel(
            title=title,
            traces=each[shown],
            spikes=deconvolve(each, card.oasis).spikes[shown] > 0,
            neurons=shown.tolist(),
        )
        for title, each in (
            ("real", compared.real[0]),
            ("generated", compared.generated[0]),
            ("generated, another", compared.generated[-1]),
        )
    ]
    histogram_panels, curve_panels = (
        _make_histograms(compared),
        _make_curves(compared, card.rate_hz),
    )
    list_traces(panels).write(run.path / TRACES)
    list_histograms(histogram_panels).write(run.path / HISTOGRAMS)
    list_spectra(curve_panels).write(run.path / SPECTRA)
    traces = draw_traces(run.figures / "traces", panels, rate_hz=card.rate_hz, unit=card.unit)
    histograms = draw_histograms(run.figures / "histograms", histogram_panels)
    curves = draw_spectra(run.figures / "curves", curve_panels)
    return [
        Picture(files=traces, caption="A window of the test stretch and two generated ones."),
        Picture(files=histograms, caption="Distributions that the divergences compare."),
        Picture(
            files=curves,
            caption="Autocorrelation and power spectrum of the traces, means over neurons.",
        ),
        *_draw_heat_maps(run, card, compared),
    ]


def _make_curves(compared: ComparedWindows, rate_hz: float) -> list[CurvePanel]:
    shown = {name: measure for name, measure in compared.measures.items() if name != "real"}
    real = compared.measures["real"]
    lags = np.arange(1, len(real.autocorrelation) + 1) / rate_hz
    # Without the power at 0 Hz; the last one is at half the frame rate or just below.
    points = len(real.spectrum)
    length = min(256, compared.real.shape[-1])
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
            real=_convert_to_db(real.spectrum),
            others={name: _convert_to_db(each.spectrum) for name, each in shown.items()},
        ),
    ]


def _convert_to_db(spectrum: Floats) -> Floats:
    """Return a spectrum in dB, with the smallest power that is compared as its minimum."""
    return np.asarray(10 * np.log10(np.maximum(spectrum, LEAST_POWER * spectrum.max())))


def _make_histograms(compared: ComparedWindows) -> list[HistogramPanel]:
    shown = {name: measure for name, measure in compared.measures.items() if name != "real"}
    return [
        HistogramPanel(
            title=title,
            edges=compared.edges[name],
            real=count_values(getattr(compared.measures["real"], name), compared.edges[name]),
            others={
                other: count_values(getattr(each, name), compared.edges[name])
                for other, each in shown.items()
            },
        )
        for name, title in COMPARED_QUANTITIES.items()
    ]


def _draw_heat_maps(run: Run, card: GanCard, compared: ComparedWindows) -> Sequence[Block]:
    neurons = card.networks.neurons
    squares = {
        title: _make_square(compared.measures[name].correlations, neurons)
        for title, name in (("real", "real"), ("generated", GENERATED))
    }
    list_matrices(squares).write(run.path / CORRELATIONS)
    correlations = draw_matrices(
        run.figures / "correlations", squares, label="correlation of counts in 0.5 s"
    )
    real, generated = compared.measures["real"], compared.measures[GENERATED]
    shown = int(np.argmax(np.minimum(real.rates_hz, generated.rates_hz)))
    first, second = (
        _sort_trains(deconvolve(each[:MOST_TRAINS, shown], card.oasis).spikes > 0)
        for each in (compared.real, compared.generated)
    )
    trains = {
        "real and real": measure_van_rossum(first, card.rate_hz),
        "real and generated": measure_van_rossum(first, card.rate_hz, second),
    }
    list_matrices(trains).write(run.path / DISTANCES)
    distances = draw_matrices(
        run.figures / "van-rossum",
        trains,
        label="van Rossum distance",
        diverging=False,
        axes_labels=("real train", "train"),
    )
    return [
        Picture(files=correlations, caption="Correlations of all pairs of neurons."),
        Picture(
            files=distances,
            caption=f"Distances between trains of neuron {card.neurons[shown]}, sorted by their "
            "number of spikes. Both panels look the same if the trains have the same statistics.",
        ),
    ]


def _make_square(values: Floats, neurons: int) -> Floats:
    """Return the symmetric matrix with these values above its diagonal of ones."""
    matrix = np.eye(neurons)
    rows, columns = np.triu_indices(neurons, k=1)
    matrix[rows, columns] = matrix[columns, rows] = values
    return matrix


def _sort_trains(trains: Bools) -> Floats:
    return np.asarray(trains[np.argsort(trains.sum(axis=1), kind="stable")].astype(float))
