"""Spoilt models, labels, tables, splits and settings: read, or refused in one line."""

from pathlib import Path

import pytest

from tests.studies.text_bases import read_mutants, write_bases
from tests.tabular.test_models import small_members

__all__ = ["small_members"]

# A few of the 500 that benchmarks/mutants.py makes: a sandbox for each of model.txt takes its time.
FEW = 25
KINDS = (
    "model.txt",
    "model.json",
    "labels",
    "table",
    "features",
    "split",
    "published split",
    "settings of networks",
    "settings of trees",
    "predictions",
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutant_of_a_text_hurts_its_reader(tmp_path: Path, kind: str) -> None:
    bases = write_bases(tmp_path)
    assert set(bases) == set(KINDS)
    found = read_mutants(*bases[kind], count=FEW, seed=0)
    assert found["refused"] > 0
