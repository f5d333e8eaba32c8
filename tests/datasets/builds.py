"""Builds in tests: what one cell gives, and what a build wrote, by the names of the files."""

from pathlib import Path

from sts.base.sandbox import Limits
from sts.datasets.build import BuildJob
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cell_files import CellFiles
from sts.datasets.cell_results import (
    BuildSettings,
    CellResult,
    process_cell,
    process_in_sandbox,
)
from sts.datasets.table import CellRow, FeatureRow, read_cells, read_features

BOTH = BuildSettings(store=True, features=True)


def cell_rows(job: BuildJob) -> dict[str, CellRow]:
    return {row.file: row for row in read_cells(job.out / CELLS_NAME)}


def feature_rows(job: BuildJob) -> dict[str, FeatureRow]:
    return {row.file: row for row in read_features(job.out / "features.csv")}


def process_file(path: Path, *, file: str, settings: BuildSettings) -> CellResult:
    """Read one recording in this process."""
    return process_cell(CellFiles(name=file, paths={file: path}), settings)


def process_file_in_sandbox(
    path: Path, *, file: str, settings: BuildSettings, limits: Limits | None = None
) -> CellResult:
    return process_in_sandbox(CellFiles(name=file, paths={file: path}), settings, limits)
