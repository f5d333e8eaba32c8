"""Published scalograms as the cells of a study: who they are, and those that can be read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.progress import progress
from sts.datasets.identity import Cells
from sts.datasets.labels import labels_of
from sts.datasets.published_split import PUBLISHED, read_split_file
from sts.datasets.splits import find_split
from sts.datasets.store import Texts
from sts.learning.device import choose_device
from sts.reports.figures.scalogram import CellPicture
from sts.scalograms.image import ImageSettings
from sts.scalograms.published import PublishedSource, find_published, has_published, read_published
from sts.scalograms.wavelet import FREQS_HZ
from sts.signals.resample import BEFORE_S, RATE_HZ, SAMPLES
from sts.studies.classify.pages import LeftOut

PARITY: Final = "pywt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """What could be read of some cells."""

    source: PublishedSource
    paths: tuple[Path, ...]
    """Of the cells of `source`, by row."""
    places: tuple[int, ...]
    """Which of the cells asked for these are."""
    left_out: tuple[LeftOut, ...]
    """The others."""


def published_cells(data: Path) -> Cells:
    """Return the labelled cells of the split in `data`, whether their files are there or not."""
    if not has_published(data):
        raise StsError(
            f"no published scalograms in {data}: a folder such as PatchClampGouwensCWT with files "
            "cell_<specimen_id>.npy is wanted"
        )
    labels, split = labels_of(data).labels, find_split(data)
    if split is None:
        raise StsError(
            f"no split in {data}: {' and '.join(PUBLISHED.values())} say which published cells are "
            "held out; fetch them with `data_pipeline.py fetch sts-tables`"
        )
    files = [data / name for name in PUBLISHED.values()]
    known = {
        specimen: dataset
        for path in files
        if path.is_file()
        for specimen, dataset in read_split_file(path).items()
    }
    divided = [labels[specimen] for specimen in sorted(labels.keys() & (split.train | split.test))]
    if not divided:
        raise StsError(f"no cell of {split.origin} has a label in {labels_of(data).path}")
    return Cells(
        specimen_id=_texts(cell.specimen_id for cell in divided),
        donor_id=_texts(cell.donor_id for cell in divided),
        label=_texts(cell.label for cell in divided),
        dataset=_texts(known.get(cell.specimen_id, cell.dataset) for cell in divided),
    )


def read_scalograms(data: Path, cells: Cells, images: ImageSettings, *, device: str) -> Read:
    """Read the scalograms of cells; one that is absent or damaged is left out and says why."""
    found: dict[int, Path] = {}
    reasons: dict[int, str] = {}
    pairs = zip(cells.dataset.tolist(), cells.specimen_id.tolist(), strict=True)
    for place, (dataset, specimen) in enumerate(pairs):
        try:
            found[place] = find_published(data, dataset, specimen)
        except StsError as error:
            reasons[place] = str(error)
    there = list(found)
    with progress(len(there), "read scalograms") as bar:
        source = PublishedSource(
            list(found.values()), images, choose_device(device), on_cell=bar.advance
        )
    reasons |= {there[at]: str(error) for at, error in source.faults.items()}
    places = [place for place in there if place not in reasons]
    return Read(
        source=source,
        paths=tuple(found[place] for place in places),
        places=tuple(places),
        left_out=tuple(
            LeftOut(
                specimen_id=str(cells.specimen_id[place]),
                label=str(cells.label[place]),
                dataset=str(cells.dataset[place]),
                reason=reasons[place],
            )
            for place in sorted(reasons)
        ),
    )


def check_parity(images: ImageSettings, name: str) -> None:
    """Refuse a model that was not made for scalograms such as the published ones."""
    if images.parity != PARITY:
        raise StsError(
            f"{name} wants scalograms of parity {images.parity!r} and published ones are of "
            f"parity {PARITY!r}: use a sweep store, or a model from `data_pipeline.py "
            "import-models`"
        )


def picture_of_published(cells: Cells, row: int, path: Path) -> CellPicture:
    """Return what is drawn of a cell whose sweeps are not known."""
    return CellPicture(
        specimen_id=str(cells.specimen_id[row]),
        label=str(cells.label[row]),
        dataset=str(cells.dataset[row]),
        traces=np.empty((0, SAMPLES)),
        scalograms=read_published(path),
        freqs_hz=FREQS_HZ,
        amplitudes_pa=(np.nan, np.nan),
        rate_hz=RATE_HZ,
        onset_s=BEFORE_S,
    )


def _texts(values: Iterable[str]) -> Texts:
    return np.array(list(values), dtype=np.str_)
