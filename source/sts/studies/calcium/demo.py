"""A study that fits into three minutes: sixteen neurons, short windows, small networks."""

from pathlib import Path
from typing import Final

from sts.base.workspace import Workspace
from sts.calcium.trainer import GanTrainSettings
from sts.calcium.windows import WindowSettings
from sts.studies.calcium.ground_truth import FOLDER, GroundTruthJob, make_ground_truth
from sts.studies.calcium.source import CalciumSource
from sts.studies.calcium.train import GanJob, Sizes

NAME: Final = "demo"
# Long enough that chance hardly moves the correlations of the test stretch.
FRAMES: Final = 400_000
LENGTH: Final = 128


def make_demo_truth(seed: int = 0) -> GroundTruthJob:
    """Return the population of the demo."""
    return GroundTruthJob(
        name=NAME, neurons=16, frames=FRAMES, mean_hz=2.0, correlation=0.6, seed=seed
    )


def ensure_demo_truth(workspace: Workspace, seed: int = 0) -> Path:
    """Make the population of the demo, unless that is done."""
    path = workspace.data / FOLDER / f"{NAME}.h5"
    if not path.is_file():
        make_ground_truth(workspace, make_demo_truth(seed), out=path)
    return path


def make_demo_job(path: Path, seed: int = 0) -> GanJob:
    """Return a training that two cores finish in two minutes."""
    return GanJob(
        name=NAME,
        source=CalciumSource(path=str(path), windows=WindowSettings(length=LENGTH)),
        sizes=Sizes(
            kernel=8,
            units=(48, 32, 16),
            critic_units=(48, 48, 48),
            shuffle=0,
            upsampling="nearest",
            frame_noise=True,
            ending="spikes",
            differences=True,
        ),
        settings=GanTrainSettings(
            steps=900,
            critic_steps=2,
            batch=64,
            learning_rate=5e-3,
            critic_rate=2e-3,
            cooling=0.7,
            beta1=0.5,
            penalty=1.0,
            moments=3.0,
            average=0.99,
            check_every=100,
            seed=seed,
        ),
    )
