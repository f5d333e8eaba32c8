"""`generate`: windows from a trained generator in physical units, as .npz and as NWB 2."""

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

from sts import __version__
from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.guard import new_hdf5
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import CalciumGan, GanCard, gan_folder
from sts.calcium.fluorescence import CalciumModel, simulate_fluorescence
from sts.calcium.population_models import PopulationCard, PopulationGenerator, load_generator

_FileKind = Literal["npz", "nwb"]

# Folder of the generated windows in output/.
GENERATED_FOLDER: Final = "calcium-generated"
# Largest number of windows in an NWB file; viewers would need minutes to open more series.
MOST_SERIES: Final = 2000
# Date of all NWB files: equal windows give equal files.
RECORDED_ON: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
# Namespace of the identifiers of NWB files.
GENERATED_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "spike-train-scalograms/generated")
# Text for fields of NWB that generated traces do not have.
INDICATOR: Final = "none: generated"
# Unidentified organism in the taxonomy of NCBI.
SPECIES: Final = "http://purl.obolibrary.org/obo/NCBITaxon_32644"
# Time between two windows, which are independent of each other.
WINDOW_PAUSE_S: Final = 1.0


def write_generated_nwb(
    path: Path,
    windows: Floats,
    *,
    rate_hz: float,
    unit: str,
    description: str,
    neurons: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write windows (n, neurons, frames) in physical units, each as a RoiResponseSeries.

    Parameters
    ----------
    neurons
        Names of the neurons, a column of the table of regions.
    provenance
        Origin of the windows, stored as JSON in the notes.
    """
    origin = json.dumps(provenance or {}, sort_keys=True, default=str)
    file = _make_file(path.stem, description, origin)
    module = file.create_processing_module("ophys", "generated traces")
    region = _add_regions(file, module, neurons or list(map(str, range(windows.shape[1]))))
    relative = unit == "dF/F"
    container: Any = DfOverF() if relative else Fluorescence()
    module.add(container)
    for number, window in enumerate(windows):
        container.add_roi_response_series(
            RoiResponseSeries(
                name=f"window_{number:05d}",
                description="generated, independent of the other windows",
                data=np.ascontiguousarray(window.T),
                rois=region,
                unit="n.a." if relative else unit or "a.u.",
                rate=float(rate_hz),
                starting_time=number * (windows.shape[2] / rate_hz + WINDOW_PAUSE_S),
            )
        )
    with new_hdf5(path) as hdf5, NWBHDF5IO(file=hdf5, mode="w") as output:
        output.write(file)


def _make_file(name: str, description: str, origin: str) -> NWBFile:
    return NWBFile(
        session_description=description,
        identifier=str(uuid.uuid5(GENERATED_NAMESPACE, f"{name} {origin}")),
        session_id=name,
        session_start_time=RECORDED_ON,
        file_create_date=RECORDED_ON,
        institution=INDICATOR,
        lab=INDICATOR,
        experimenter=["Generator, A"],
        experiment_description="Calcium traces from a generative model",
        keywords=["generated", "calcium imaging"],
        notes=origin,
        subject=Subject(
            subject_id="generated",
            species=SPECIES,
            sex="U",
            age="P0D/",
            description="no animal: a generative model",
        ),
    )


def _add_regions(file: NWBFile, module: Any, neurons: Sequence[str]) -> Any:
    device = file.create_device(name="Generator", description="a generative model")
    plane = file.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(
            name="OpticalChannel", description=INDICATOR, emission_lambda=500.0
        ),
        description=INDICATOR,
        device=device,
        excitation_lambda=900.0,
        indicator=INDICATOR,
        location=INDICATOR,
    )
    segmentation = ImageSegmentation()
    table = segmentation.create_plane_segmentation(
        name="PlaneSegmentation", description="generated neurons have no place", imaging_plane=plane
    )
    table.add_column("neuron", "name of the neuron that it stands for")
    for index, name in enumerate(neurons):
        table.add_roi(pixel_mask=[(index, 0, 1.0)], neuron=name)
    module.add(segmentation)
    return table.create_roi_table_region(
        region=list(range(len(neurons))), description="all generated neurons"
    )


@dataclass(frozen=True, kw_only=True)
class GenerateJob:
    """The settings of a generation."""

    name: str
    windows: int = 100
    length: int | None = None
    """Frames of a window; None: as many as it was trained on. A GAN has no other length."""
    stretch: int | None = None
    """Of the training recording, such as a running direction, counted from 1; None: of all."""
    seed: int = 0
    kinds: tuple[_FileKind, ...] = ("npz", "nwb")


def generate_windows(
    workspace: Workspace, job: GenerateJob, *, out: Path | None = None
) -> list[Path]:
    """Generate windows and return the files that were written."""
    if "nwb" in job.kinds and job.windows > MOST_SERIES:
        raise StsError(
            f"an NWB file can have at most {MOST_SERIES} windows, not {job.windows}: use --kind npz"
        )
    generator = load_generator(gan_folder(workspace.models, job.name))
    card = generator.card
    windows, spikes = _generate(generator, job)
    step = {} if isinstance(card, PopulationCard) else {"step": card.best_step}
    origin = {
        "software": f"spike-train-scalograms {__version__}",
        "generator": card.name,
        "sha256": card.sha256,
        **step,
        "data": card.data,
        "versions": card.versions,
        "seed": job.seed,
        "windows": job.windows,
        **({} if job.stretch is None else {"stretch": job.stretch}),
    }
    folder = out or workspace.output / GENERATED_FOLDER
    # Whatever differs from the defaults is in the name: no file replaces one of other windows.
    asked = {name: getattr(job, name) for name in ("windows", "length", "stretch")}
    end = "".join(f"-{n}{value}" for n, value in asked.items() if value != getattr(GenerateJob, n))
    paths = []
    # If a kind is given twice, it is written once.
    for kind in dict.fromkeys(job.kinds):
        path = folder / f"{job.name}-seed{job.seed}{end}.{kind}"
        if kind == "npz":
            _write_npz(path, windows, card, origin, spikes)
        else:
            write_generated_nwb(
                path,
                windows,
                rate_hz=card.rate_hz,
                unit=_unit_of(card),
                description=f"Windows generated by {card.name}, sha256 {card.sha256}",
                neurons=card.neurons,
                provenance=origin,
            )
        paths.append(path)
    return paths


def _generate(
    generator: CalciumGan | PopulationGenerator, job: GenerateJob
) -> tuple[Floats, Ints | None]:
    """Return traces, and the spike counts from which they are simulated if the model makes them."""
    if isinstance(generator, PopulationGenerator):
        asked = {"frames": job.length, "stretch": job.stretch}
        spikes = generator.generate(job.windows, seed=job.seed, **asked)
        rng = np.random.default_rng(job.seed)
        return simulate_fluorescence(spikes, CalciumModel(), rng), spikes
    if job.stretch is not None:
        raise StsError(f"{job.name} is a GAN, which knows no stretches: leave --stretch out")
    if job.length not in (None, generator.card.networks.length):
        raise StsError(
            f"{job.name} makes windows of {generator.card.networks.length} frames only: leave "
            "--length out"
        )
    return generator.generate(job.windows, seed=job.seed), None


def _write_npz(
    path: Path,
    windows: Floats,
    card: GanCard | PopulationCard,
    origin: dict[str, Any],
    spikes: Ints | None,
) -> None:
    """Write windows (n, neurons, frames) with their rate, unit, names and origin."""
    more: dict[str, Any] = {} if spikes is None else {"spikes": spikes}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            traces=windows,
            **more,
            rate_hz=np.float64(card.rate_hz),
            unit=np.array(_unit_of(card)),
            neurons=np.array(card.neurons),
            provenance=np.array(json.dumps(origin, sort_keys=True, default=str)),
        )


def _unit_of(card: GanCard | PopulationCard) -> str:
    """Return the unit of generated traces; simulated ones are in units of a spike."""
    return card.unit if isinstance(card, GanCard) else "spikes"
