"""A build of a folder of recordings."""

from pathlib import Path

import pytest

from sts.datasets.build import BuildJob
from tests.datasets.builds import BOTH


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> BuildJob:
    return BuildJob(folder=folder, out=tmp_path / "mine", settings=BOTH, workers=1)
