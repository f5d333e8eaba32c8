"""What `evaluate` leaves to look at."""

from typing import TYPE_CHECKING, Final

from sts.base.runs import Run
from sts.base.settings import to_dict
from sts.calcium.checkpoint import GanCard
from sts.calcium.compare import QUANTITIES
from sts.reports.blocks import Block, Code, Facts, Section, Table
from sts.reports.page import write_page
from sts.reports.tables import settings_table
from sts.studies.calcium.pictures import Judged, pictures

if TYPE_CHECKING:
    from sts.studies.calcium.evaluate import Evaluated

HOW: Final = (
    "Each row takes the place of the generated windows: as many windows, deconvolved alike, "
    "compared with the same real test windows. The first line of the controls is the floor: real "
    "windows of the training stretch. Phase-shuffled windows keep spectra and linear correlations "
    "and lose the shape of transients; in independent neurons each neuron is as it was at another "
    "time than its neighbours."
)
HELP: Final = (
    "Every neuron's trace is predicted from all others by ridge regression; the table tells which "
    "part of the variance of the held-out test windows is explained. The validation windows choose "
    "penalty and weight of the generated windows (0: leave them out). The generator has seen all "
    "training windows: only the last row, in which the decoder has seen them too, tells whether it "
    "adds anything to them; the rows above tell what it passes on."
)


def write_pages(run: Run, card: GanCard, judged: Judged, found: "Evaluated") -> None:
    """Draw the figures and write report.html."""
    sections = [
        Section("Likeness", [_headline(found), HOW, _likeness(found), *_truth(found)]),
        Section("Side by side", pictures(run, card, judged)),
        Section("Copying", _copying(found)),
        Section("Does it help?", [HELP, _helped(found)]),
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
        subtitle=f"{len(judged.real)} test windows of {card.networks.neurons} neurons, "
        f"{card.networks.length / card.rate_hz:.1f} s each, at {card.rate_hz:g} Hz",
        sections=sections,
    )


def _headline(found: "Evaluated") -> Facts:
    rows = list(found.likeness.values())
    generated, floor, independent = rows[0].divergences, rows[1].divergences, rows[-1].divergences
    return Facts(
        [
            (
                QUANTITIES[name].split(" (")[0],
                f"{generated[name]:.3f}",
                f"nats; real {floor[name]:.3f}, independent {independent[name]:.3f}",
            )
            for name in ("rates_hz", "correlations", "van_rossum")
        ]
    )


def _likeness(found: "Evaluated") -> Table:
    return Table(
        columns=[
            "windows",
            *(f"KL {name.split(' (')[0]}" for name in QUANTITIES.values()),
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
            for name, each in found.likeness.items()
        ],
        caption="KL(real || these) of 30 bins in nats; then errors: root mean square of the "
        "autocorrelation and of the spectrum, median relative error of rates, relative error of "
        "the frames' covariances.",
    )


def _truth(found: "Evaluated") -> list[Block]:
    if not found.truth:
        return []
    rows = [[name, *each.values()] for name, each in found.truth.items()]
    columns = ["windows", "median relative error of rates", "relative error of covariances"]
    return [
        Table(
            columns=columns,
            rows=rows,
            caption="Against the true spikes of the test stretch. The first row is what "
            "deconvolution alone does.",
        )
    ]


def _copying(found: "Evaluated") -> list[Block]:
    told = found.copying
    text = (
        f"The nearest training window of a generated one is at {told.generated:.2f} of its median "
        f"distance to all of them, that of an unseen real window at {told.unseen:.2f}. "
        f"{100 * told.copies:.1f} % of the generated windows are nearer than all but 1 % of the "
        "unseen ones; of a generator that repeats its training windows nearly all would be."
    )
    return [text]


def _helped(found: "Evaluated") -> Table:
    return Table(
        columns=["real windows", "real alone", "with generated", "difference", "weight"],
        rows=[
            [
                each.windows,
                each.real.in_words(),
                each.both.in_words(),
                each.difference.in_words(4),
                each.weight,
            ]
            for each in found.helped
        ],
        caption="Variance explained; in brackets 95 % intervals over the test windows, those of "
        "the difference paired.",
    )
