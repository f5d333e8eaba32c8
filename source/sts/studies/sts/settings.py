"""What a run of sts_pipeline.py is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.settings import from_dict, to_dict
from sts.networks.backbones import Architecture
from sts.networks.settings import SPACE, TrainSettings
from sts.search.space import Choice, Float, Int, Parameter
from sts.search.trials import SearchSettings

KINDS: Final[dict[str, Callable[..., Parameter]]] = {
    "choice": Choice,
    "log_float": partial(Float, log=True),
    "int": Int,
}


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """All that decides what TRAIN arrives at, besides the cells."""

    architecture: Architecture
    image_size: tuple[int, int] | None = None
    """Height and width of the images; None: the network's own."""
    group_by: str = "donor"
    search: SearchSettings = field(default_factory=SearchSettings)
    base: TrainSettings = field(default_factory=TrainSettings)
    """Where the search begins: what it does not vary stays as it is here."""
    varied: tuple[str, ...] = tuple(SPACE)
    """What the search varies; empty: nothing, the settings are given."""
    seed: int = 0

    @property
    def space(self) -> dict[str, Parameter]:
        """Return the space to search; of given settings, the one point that they are."""
        space: dict[str, Parameter] = {}
        for name, (kind, *rest) in SPACE.items():
            fixed = Choice((getattr(self.base, name),))
            space[name] = KINDS[kind](*rest) if name in self.varied else fixed
        return space

    @property
    def trials(self) -> SearchSettings:
        """Return how to search; given settings are one trial."""
        one = SearchSettings(trials=1, folds=self.search.folds, seed=self.seed, prune=False)
        return self.search if self.varied else one

    def with_settings(self, found: dict[str, Any]) -> TrainSettings:
        """Return how to train with these values of what is varied."""
        return from_dict(TrainSettings, {**to_dict(self.base), **found})


def make_job(
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
) -> TrainJob:
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
    return TrainJob(
        architecture=architecture,
        image_size=image_size,
        group_by=group_by,
        search=SearchSettings(trials=trials or 50, folds=folds or 3, seed=seed),
        base=base if file is None else read_settings(file, base),
        varied=varied if file is None else (),
        seed=seed,
    )


def read_settings(path: Path, base: TrainSettings) -> TrainSettings:
    """Return the training settings in a JSON file; what it does not name stays as in `base`."""
    given = read_json(path)
    if not isinstance(given, dict):
        raise StsError(f"{path} does not hold settings: an object such as {{...}} is wanted")
    return from_dict(TrainSettings, {**to_dict(base), **given}, where=str(path))
