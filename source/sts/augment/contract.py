"""What every generator of rows promises, and the table of all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np

from sts.augment.settings import (
    AdasynSettings,
    BorderlineSettings,
    CopulaSettings,
    DdpmSettings,
    FlowSettings,
    GanSettings,
    Nothing,
    SmoteSettings,
    VaeSettings,
)
from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats, Ints

TUNED: Final = Path(__file__).with_name("tuned.json")
# The five of Vasques and Cif (2025).
METHODS: Final = ("smote", "gan", "vae", "flow", "ddpm")


class Generator(Protocol):
    """Makes rows that look like those of a class."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was done otherwise than asked for, and why."""
        ...

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator that has learned from complete rows, which stay as they are."""
        ...

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class that was fitted, (n, features)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """One kind of generator."""

    title: str
    settings: type
    make: Callable[[Any, str], Generator]
    """make(settings, device)."""
    adds_rows: bool = True
    """False: `sample` returns nothing, and a classifier is given weights instead."""
    deep: bool = False


def _smote(settings: SmoteSettings, device: str) -> Generator:
    from sts.augment.oversampling import Smote

    return Smote(settings)


def _borderline(settings: BorderlineSettings, device: str) -> Generator:
    from sts.augment.oversampling import BorderlineSmote

    return BorderlineSmote(settings)


def _adasyn(settings: AdasynSettings, device: str) -> Generator:
    from sts.augment.oversampling import Adasyn

    return Adasyn(settings)


def _random(settings: Nothing, device: str) -> Generator:
    from sts.augment.oversampling import RandomOversampling

    return RandomOversampling()


def _weights(settings: Nothing, device: str) -> Generator:
    from sts.augment.oversampling import ClassWeights

    return ClassWeights()


def _copula(settings: CopulaSettings, device: str) -> Generator:
    from sts.augment.frame import Copula

    return Copula(settings)


def _gan(settings: GanSettings, device: str) -> Generator:
    from sts.augment.gan import Gan

    return Gan(settings, device)


def _vae(settings: VaeSettings, device: str) -> Generator:
    from sts.augment.vae import Vae

    return Vae(settings, device)


def _flow(settings: FlowSettings, device: str) -> Generator:
    from sts.augment.flow import Flow

    return Flow(settings, device)


def _ddpm(settings: DdpmSettings, device: str) -> Generator:
    from sts.augment.ddpm import Ddpm

    return Ddpm(settings, device)


# The modules are imported when one is made: half of them need torch, which takes seconds.
GENERATORS: Final[Mapping[str, Method]] = {
    "smote": Method(title="SMOTE", settings=SmoteSettings, make=_smote),
    "gan": Method(title="WGAN-GP", settings=GanSettings, make=_gan, deep=True),
    "vae": Method(title="VAE", settings=VaeSettings, make=_vae, deep=True),
    "flow": Method(title="MAF", settings=FlowSettings, make=_flow, deep=True),
    "ddpm": Method(title="DDPM", settings=DdpmSettings, make=_ddpm, deep=True),
    "random": Method(title="Random oversampling", settings=Nothing, make=_random),
    "weights": Method(title="Class weights", settings=Nothing, make=_weights, adds_rows=False),
    "copula": Method(title="Gaussian copula", settings=CopulaSettings, make=_copula),
    "borderline": Method(title="Borderline-SMOTE", settings=BorderlineSettings, make=_borderline),
    "adasyn": Method(title="ADASYN", settings=AdasynSettings, make=_adasyn),
}


def make_generator(
    name: str,
    *,
    device: str = "cpu",
    settings: object | Mapping[str, Any] | None = None,
    task: str = "e",
) -> Generator:
    """Return a generator that has not been fitted yet.

    Parameters
    ----------
    settings
        Those of the method, or names and values that differ from the tuned ones; None: as tuned.
    task
        On which table the settings were tuned; one that was not tuned on takes those of `e`.
    """
    method = GENERATORS[one_of(name, GENERATORS, "method")]
    if settings is None or isinstance(settings, Mapping):
        settings = changed(tuned_settings(name, task), settings or {})
    if not isinstance(settings, method.settings):
        wanted, came = method.settings.__name__, type(settings).__name__
        raise ValueError(f"{name} is set up by {wanted}, not by {came}")
    return method.make(settings, device)


def tuned_settings(name: str, task: str = "e") -> Any:
    """Return the settings of a method that were found best on a task, else its defaults."""
    method = GENERATORS[one_of(name, GENERATORS, "method")]
    tasks = _tuned()["tasks"]
    found = tasks.get(task, {}).get(name) or tasks["e"].get(name) or {"settings": {}}
    return from_dict(method.settings, found["settings"], where=f"{TUNED.name}, {name}")


@cache
def _tuned() -> dict[str, Any]:
    content = read_json(TUNED)
    if not isinstance(content, dict) or "e" not in content.get("tasks", {}):
        raise StsError(f"{TUNED} holds no tuned settings: restore it from the repository")
    return content


def changed(settings: object, values: Mapping[str, Any]) -> object:
    """Return settings in which some values are others, also some of settings within settings."""
    whole = to_dict(settings)
    for name, value in values.items():
        kept = whole.get(name)
        within = isinstance(kept, dict) and isinstance(value, Mapping)
        whole[name] = {**(kept or {}), **value} if within else value
    return from_dict(type(settings), whole)
