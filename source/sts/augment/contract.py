"""The interface of every generator of rows, and the table of all generators."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, Protocol, Self

import numpy as np

from sts.augment.settings import (
    AdasynSettings,
    ArfSettings,
    BorderlineSettings,
    CopulaSettings,
    DdpmSettings,
    FlowSettings,
    GanSettings,
    MixtureSettings,
    MixupSettings,
    NoSettings,
    SmoteSettings,
    VaeSettings,
)
from sts.base.errors import StsError, one_of
from sts.base.files import read_json
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats, Ints

TUNED: Final = Path(__file__).with_name("tuned.json")
# The five methods of Vasques and Cif (2025).
METHODS: Final = ("smote", "gan", "vae", "flow", "ddpm")


class Generator(Protocol):
    """Generates rows that resemble those of a class."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return in words where the generator deviated from its settings, and why."""
        ...

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator fitted on complete rows, which are not changed."""
        ...

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a fitted class, (n, features)."""
        ...


def check_rows(X: Floats, y: Ints) -> tuple[Floats, Ints]:
    """Return copies of rows and labels; raise an error that explains what is wrong with them."""
    X, y = np.array(X, dtype=np.float64), np.array(y)
    if X.ndim != 2 or not X.size:
        raise StsError(f"rows of features are needed, not an array of shape {X.shape}")
    if y.shape != (len(X),) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise StsError(f"{len(X)} labels from 0 on are needed, one a row, not {y.dtype} {y.shape}")
    if not np.isfinite(X).all():
        raise StsError("rows must be complete: impute missing values first")
    return X, y.astype(np.int64)


def check_label(label: int, labels: Container[Any]) -> None:
    """Raise an error for a class without a training row."""
    if label not in labels:
        raise StsError(f"class {label} has no training row to make others from")


def draw_seed(rng: np.random.Generator) -> int:
    """Return a seed for a library that cannot use a generator of numpy."""
    return int(rng.integers(2**31 - 1))


@dataclass(frozen=True, kw_only=True)
class Method:
    """One kind of generator."""

    title: str
    settings: type
    place: str
    """Module and class. The class is imported when it is needed, since half of them need torch."""
    adds_rows: bool = True
    """False: `sample` returns no row; classifiers treat rare classes differently instead."""
    deep: bool = False
    """Whether it trains a network, on a device."""

    def make(self, settings: Any, device: str) -> Generator:
        """Return a generator that has not been fitted yet."""
        generator: Any = resolve_name(self.place)
        instance: Generator = generator(settings, device) if self.deep else generator(settings)
        return instance


GENERATORS: Final[Mapping[str, Method]] = {
    "smote": Method(title="SMOTE", settings=SmoteSettings, place="sts.augment.oversampling:Smote"),
    "gan": Method(title="WGAN-GP", settings=GanSettings, place="sts.augment.gan:Gan", deep=True),
    "vae": Method(title="VAE", settings=VaeSettings, place="sts.augment.vae:Vae", deep=True),
    "flow": Method(title="MAF", settings=FlowSettings, place="sts.augment.flow:Flow", deep=True),
    "ddpm": Method(title="DDPM", settings=DdpmSettings, place="sts.augment.ddpm:Ddpm", deep=True),
    "random": Method(
        title="Random oversampling",
        settings=NoSettings,
        place="sts.augment.oversampling:RandomOversampling",
    ),
    "weights": Method(
        title="Class weights",
        settings=NoSettings,
        place="sts.augment.oversampling:ClassWeights",
        adds_rows=False,
    ),
    "priors": Method(
        title="Class priors",
        settings=NoSettings,
        place="sts.augment.oversampling:ClassPriors",
        adds_rows=False,
    ),
    "thresholds": Method(
        title="Tuned thresholds",
        settings=NoSettings,
        place="sts.augment.oversampling:ThresholdTuning",
        adds_rows=False,
    ),
    "mixup": Method(title="Mixup", settings=MixupSettings, place="sts.augment.oversampling:Mixup"),
    "mixture": Method(
        title="Gaussian mixture", settings=MixtureSettings, place="sts.augment.frame:Mixture"
    ),
    "arf": Method(
        title="Adversarial forest",
        settings=ArfSettings,
        place="sts.augment.arf:AdversarialForest",
    ),
    "copula": Method(
        title="Gaussian copula", settings=CopulaSettings, place="sts.augment.frame:Copula"
    ),
    "borderline": Method(
        title="Borderline-SMOTE",
        settings=BorderlineSettings,
        place="sts.augment.oversampling:BorderlineSmote",
    ),
    "adasyn": Method(
        title="ADASYN", settings=AdasynSettings, place="sts.augment.oversampling:Adasyn"
    ),
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
        Settings of the method, or names and values that replace tuned ones; None: as tuned.
    task
        The task whose tuned settings are used; those of `e` where the task has none.
    """
    method = GENERATORS[one_of(name, GENERATORS, "method")]
    if settings is None or isinstance(settings, Mapping):
        settings = change_settings(read_tuned_settings(name, task), settings or {})
    if not isinstance(settings, method.settings):
        wanted, passed = method.settings.__name__, type(settings).__name__
        raise ValueError(f"{name} needs {wanted}, not {passed}")
    return method.make(settings, device)


def read_tuned_settings(name: str, task: str = "e") -> Any:
    """Return the best settings found for a method on a task; its defaults if it was not tuned."""
    method = GENERATORS[one_of(name, GENERATORS, "method")]
    tasks = _read_tuned()["tasks"]
    tuned = tasks.get(task, {}).get(name) or tasks["e"].get(name) or {"settings": {}}
    return from_dict(method.settings, tuned["settings"], where=f"{TUNED.name}, {name}")


@cache
def _read_tuned() -> dict[str, Any]:
    content = read_json(TUNED)
    if not isinstance(content, dict) or "e" not in content.get("tasks", {}):
        raise StsError(f"{TUNED} contains no tuned settings: restore it from the repository")
    return content


def change_settings(settings: object, values: Mapping[str, Any]) -> object:
    """Return settings with other values, also in the settings inside them."""
    whole = to_dict(settings)
    for name, value in values.items():
        old = whole.get(name)
        nested = isinstance(old, dict) and isinstance(value, Mapping)
        whole[name] = {**(old or {}), **value} if nested else value
    return from_dict(type(settings), whole)
