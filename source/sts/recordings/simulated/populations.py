"""Eight populations of neurons, four classes in two data sets, and random neurons from them."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from sts.base.types import Floats
from sts.recordings.simulated.membrane import Parameters

POPULATIONS_FILE: Final = "populations.json"
# Cells of a population that share a Latin hypercube.
CUBE_MEMBERS: Final = 8


@dataclass(frozen=True, kw_only=True)
class CellParameter:
    """One parameter of a neuron, with a normal or lognormal distribution."""

    name: str
    logarithmic: bool
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """A normal distribution of transformed parameters, in the order of the table."""

    mean: Floats
    covariance: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Populations:
    """All populations: the content of populations.json."""

    parameters: tuple[CellParameter, ...]
    by_name: dict[tuple[str, str], Population]
    """By data set and class."""

    def within(self, transformed: Floats) -> Floats:
        """Return transformed parameters (neurons, parameters) clipped to their bounds."""
        low = [_transformed(each.low, each) for each in self.parameters]
        high = [_transformed(each.high, each) for each in self.parameters]
        return np.clip(transformed, low, high)

    def natural(self, transformed: Floats) -> list[Parameters]:
        """Return the parameters whose transformed values are given (neurons, parameters)."""
        logarithmic = [each.logarithmic for each in self.parameters]
        values = np.where(logarithmic, np.exp(np.where(logarithmic, transformed, 0)), transformed)
        names = [each.name for each in self.parameters]
        return [dict(zip(names, row, strict=True)) for row in values.tolist()]

    def draw(
        self, dataset: str, label: str, *, seed: int, member: int, redraw: int = 0
    ) -> Parameters:
        """Return the parameters of one member of a population, reproducible by its numbers.

        Eight members at a time are a Latin hypercube (McKay et al., 1979): every eighth of every
        parameter's distribution contains one of them, so that a few cells already represent the
        population. A member that is drawn again is drawn independently.
        """
        number = list(self.by_name).index((dataset, label))
        if redraw:
            rng = np.random.default_rng((seed, number, member, redraw))
            standard = rng.standard_normal(len(self.parameters))
        else:
            standard = self._hypercube((seed, number, member // CUBE_MEMBERS))[
                member % CUBE_MEMBERS
            ]
        population = self.by_name[dataset, label]
        root = np.linalg.cholesky(population.covariance)
        return self.natural(self.within((population.mean + root @ standard)[None]))[0]

    def _hypercube(self, seed: tuple[int, ...]) -> Floats:
        """Return standard normal numbers (CUBE_MEMBERS, parameters), one from each eighth."""
        rng = np.random.default_rng(seed)
        eighths = np.tile(np.arange(CUBE_MEMBERS)[:, None], len(self.parameters))
        places = rng.permuted(eighths, axis=0) + rng.random(eighths.shape)
        standard: Floats = ndtri(places / CUBE_MEMBERS)
        return standard


@cache
def load_populations() -> Populations:
    """Read the table of populations."""
    return from_table(json.loads(_text()))


def _text() -> str:
    return resources.files(__package__).joinpath(POPULATIONS_FILE).read_text(encoding="utf-8")


def populations_digest() -> str:
    """Return 8 hexadecimal digits that change with the table."""
    return hashlib.sha256(_text().encode()).hexdigest()[:8]


def from_table(table: Mapping[str, Any]) -> Populations:
    """Return the populations of a table: median, spread and correlation of every parameter."""
    parameters = tuple(
        CellParameter(
            name=name, logarithmic=each["scale"] == "log", low=each["low"], high=each["high"]
        )
        for name, each in table["parameters"].items()
    )
    return Populations(
        parameters=parameters,
        by_name={
            (dataset, label): _population(entry, parameters)
            for dataset, labels in table["populations"].items()
            for label, entry in labels.items()
        },
    )


def _population(entry: Mapping[str, Any], parameters: tuple[CellParameter, ...]) -> Population:
    spread = np.array([entry["spread"][each.name] for each in parameters])
    correlation = np.eye(len(parameters))
    for row, values in enumerate(entry["correlation"]):
        correlation[row, :row] = correlation[:row, row] = values
    return Population(
        mean=np.array([_transformed(entry["median"][each.name], each) for each in parameters]),
        covariance=correlation * np.outer(spread, spread),
    )


def _transformed(value: float, parameter: CellParameter) -> float:
    return math.log(value) if parameter.logarithmic else value
