"""What a run of sts_pipeline.py is asked to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts.base.settings import from_dict, to_dict
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import model_folder
from sts.networks.settings import SPACE, TrainSettings
from sts.search.space import Choice, Float, Int, Parameter
from sts.search.trials import SearchSettings
from sts.studies.classify.settings import TrainJob, read_settings

KINDS: Final[dict[str, Callable[..., Parameter]]] = {
    "choice": Choice,
    "log_float": partial(Float, log=True),
    "int": Int,
}
# Of the demo, by the number of the network.
# As many pixels as 111 x 111, and spikes stay apart; InceptionV3 needs more of either side.
DEMO_SIZE: Final = {1: (32, 384), 2: (80, 240), 3: (32, 384), 4: (32, 384)}
# Random weights need a rate that rises and falls, and the small network needs more of it.
DEMO_EPOCHS: Final = {1: 4, 2: 4, 3: 4, 4: 8}
DEMO_RATE: Final = {1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 3e-3}


@dataclass(frozen=True, kw_only=True)
class NetworkJob(TrainJob):
    """All that decides which network TRAIN arrives at, besides the cells."""

    architecture: Architecture
    image_size: tuple[int, int] | None = None
    """Height and width of the images; None: the network's own."""
    base: TrainSettings = field(default_factory=TrainSettings)
    """Where the search begins: what it does not vary stays as it is here."""
    varied: tuple[str, ...] = tuple(SPACE)
    """What the search varies; empty: nothing, the settings are given."""

    @property
    def what(self) -> str:
        """Return what names of runs call this model."""
        return f"{self.architecture.backbone.name}-{self.architecture.freeze}"

    @property
    def is_fixed(self) -> bool:
        """Tell whether the settings are given, so that nothing is searched."""
        return not self.varied

    @property
    def space(self) -> dict[str, Parameter]:
        """Return the space to search; of given settings, the one point that they are."""
        space: dict[str, Parameter] = {}
        for name, (kind, *rest) in SPACE.items():
            fixed = Choice((getattr(self.base, name),))
            space[name] = KINDS[kind](*rest) if name in self.varied else fixed
        return space

    def configured(self, found: Mapping[str, Any]) -> TrainSettings:
        """Return how to train with these values of what is varied."""
        return from_dict(TrainSettings, {**to_dict(self.base), **found})

    def folder(self, models: Path, name: str | None) -> Path:
        """Return where the model is kept, under its own name or its freeze level."""
        return model_folder(models, self.architecture, name)


def make_network_job(
    architecture: Architecture,
    *,
    group_by: str,
    seed: int,
    file: Path | None = None,
    trials: int | None = None,
    folds: int | None = None,
    image_size: tuple[int, int] | None = None,
    base: TrainSettings | None = None,
    varied: tuple[str, ...] = tuple(SPACE),
    **changed: Any,
) -> NetworkJob:
    """Return what a command line asks for; None leaves the default.

    Parameters
    ----------
    file
        JSON with training settings; given, nothing is searched.
    changed
        Fields of TrainSettings.
    """
    base = base or TrainSettings()
    given = {name: value for name, value in changed.items() if value is not None}
    base = from_dict(TrainSettings, {**to_dict(base), **given})
    return NetworkJob(
        architecture=architecture,
        image_size=image_size,
        group_by=group_by,
        search=SearchSettings(trials=trials or 50, folds=folds or 3, seed=seed),
        base=base if file is None else read_network_settings(file, base),
        varied=varied if file is None else (),
        seed=seed,
    )


def demo_job(architecture: Architecture, **given: Any) -> NetworkJob:
    """Return a short search on small images; what is given on the command line comes first."""
    number = architecture.number
    short: dict[str, Any] = {
        "image_size": DEMO_SIZE[number],
        "trials": 2,
        "folds": 2,
        "epochs": DEMO_EPOCHS[number],
    }
    wanted = short | {name: value for name, value in given.items() if value is not None}
    base = TrainSettings(
        schedule="one_cycle",
        learning_rate=DEMO_RATE[number],
        patience=DEMO_EPOCHS[number],
        batch=32,
    )
    return make_network_job(architecture, base=base, varied=("dropout",), **wanted)


def read_network_settings(path: Path, base: TrainSettings) -> TrainSettings:
    """Return the training settings in a JSON file; what it does not name stays as in `base`."""
    return from_dict(TrainSettings, {**to_dict(base), **read_settings(path)}, where=str(path))
