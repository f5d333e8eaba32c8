"""Eight populations of neurons, four classes in two data sets, and how one neuron is drawn."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.simulated.membrane import Parameters

TABLE: Final = "populations.json"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a neuron: normally distributed itself, or its logarithm is."""

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
    """What the table beside this module holds."""

    parameters: tuple[Parameter, ...]
    by_name: dict[tuple[str, str], Population]
    """By data set and class."""

    def natural(self, transformed: Floats) -> list[Parameters]:
        """Return the parameters behind transformed ones (neurons, parameters), within bounds."""
        columns = [
            np.clip(np.exp(column) if each.logarithmic else column, each.low, each.high)
            for each, column in zip(self.parameters, transformed.T, strict=True)
        ]
        names = [each.name for each in self.parameters]
        rows = np.column_stack(columns).tolist()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def draw(self, dataset: str, label: str, *, seed: tuple[int, ...]) -> Parameters:
        """Return the parameters of one neuron, the same for the same seed."""
        population = self.by_name[dataset, label]
        standard = np.random.default_rng(seed).standard_normal(len(self.parameters))
        root = np.linalg.cholesky(population.covariance)
        return self.natural((population.mean + root @ standard)[None])[0]


@cache
def load_populations() -> Populations:
    """Read the table that calibration has left."""
    text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    return from_table(json.loads(text))


def from_table(table: Mapping[str, Any]) -> Populations:
    """Return the populations of a table: median, spread and correlation of every parameter."""
    parameters = tuple(
        Parameter(name=name, logarithmic=each["scale"] == "log", low=each["low"], high=each["high"])
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


def to_table(populations: Populations, meaning: Mapping[str, str]) -> dict[str, Any]:
    """Return what `from_table` reads, figures rounded for reading."""
    table: dict[str, Any] = {
        "parameters": {
            each.name: {
                "meaning": meaning[each.name],
                "scale": "log" if each.logarithmic else "linear",
                "low": each.low,
                "high": each.high,
            }
            for each in populations.parameters
        },
        "populations": {},
    }
    for (dataset, label), population in populations.by_name.items():
        table["populations"].setdefault(dataset, {})[label] = _entry(
            population, populations.parameters
        )
    return table


def _population(entry: Mapping[str, Any], parameters: tuple[Parameter, ...]) -> Population:
    median = np.array([entry["median"][each.name] for each in parameters])
    logarithmic = np.array([each.logarithmic for each in parameters])
    spread = np.array([entry["spread"][each.name] for each in parameters])
    correlation = np.eye(len(parameters))
    for row, values in enumerate(entry["correlation"]):
        correlation[row, :row] = correlation[:row, row] = values
    return Population(
        mean=np.where(logarithmic, np.log(np.where(logarithmic, median, 1)), median),
        covariance=correlation * np.outer(spread, spread),
    )


def _entry(population: Population, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    spread = np.sqrt(np.diag(population.covariance))
    correlation = population.covariance / np.outer(spread, spread)
    return {
        "median": {
            each.name: float(f"{np.exp(value) if each.logarithmic else value:.4g}")
            for each, value in zip(parameters, population.mean, strict=True)
        },
        "spread": {
            each.name: round(float(value), 3)
            for each, value in zip(parameters, spread, strict=True)
        },
        # The triangle below the diagonal.
        "correlation": [
            [round(float(value), 2) for value in correlation[row, :row]]
            for row in range(len(parameters))
        ],
    }
