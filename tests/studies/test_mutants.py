"""Spoilt files of every format hurt no reader, and none gives a value of unknown origin."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sts.base.files import sha256_of
from sts.base.sandbox import Limits
from sts.datasets.cell_results import BuildSettings, CellResult, ProductResult
from tests.datasets.builds import process_file_in_sandbox
from tests.recordings.mutator import BASES, ON_ABF, ON_BYTES, ON_HDF5, TRUTH, mutate, write_bases

SETTINGS = BuildSettings(features=True)
# Small, so that a mutant which asks for more is found out soon.
LIMITS = Limits(memory_mb=1024, processor_s=10, wall_s=30)
MUTANTS_EACH = 60


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    yield write_bases(tmp_path_factory.mktemp("bases"))


def outcome_of(path: Path) -> CellResult:
    return process_file_in_sandbox(path, file=path.name, settings=SETTINGS, limits=LIMITS)


def digest_in(outcome: CellResult) -> str:
    (stamp,) = outcome.files
    return stamp.sha256


@pytest.mark.parametrize("name", BASES)
def test_the_unspoilt_file_gives_the_truth(bases: dict[str, Path], name: str) -> None:
    outcome = outcome_of(bases[name])
    assert outcome.store is not None
    assert outcome.features is not None
    assert outcome.store.status == outcome.features.status == "ok"
    for quantity, value in TRUTH.items():
        # the current is kept to 0.1 pA by NWB 2, to 0.02 pA by the converter of ABF
        assert outcome.store.values[quantity] == pytest.approx(value, abs=0.1)
    assert outcome.store.values["onset_s"] == pytest.approx(0.2, abs=1e-9)
    # 100 MOhm by construction
    assert outcome.features.values["ri"] == pytest.approx(100, rel=0.03)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", BASES)
def test_no_mutant_hurts_its_reader_or_lies(
    bases: dict[str, Path], tmp_path: Path, name: str
) -> None:
    truth, statuses = outcome_of(bases[name]), Counter[str]()
    for number in range(MUTANTS_EACH):
        rng = np.random.default_rng([list(BASES).index(name), number])
        path = tmp_path / f"{number}{bases[name].suffix}"
        way = mutate(bases[name], path, rng)
        outcome = outcome_of(path)
        for verdict, true in ((outcome.store, truth.store), (outcome.features, truth.features)):
            assert verdict is not None
            statuses[verdict.status] += 1
            assert_spoken_of(verdict, way)
            if verdict.status == "ok" and verdict.values != true.values:  # type: ignore[union-attr]
                assert digest_in(outcome) != digest_in(truth), way
        assert digest_in(outcome) == sha256_of(path), "the digest is of what was read"
        path.unlink()
    assert set(statuses) >= {"ok", "failed"}, "some mutants are harmless, some are not"


def assert_spoken_of(verdict: ProductResult, way: str) -> None:
    """Assert that a verdict is one, with a reason in one line of words unless all is well."""
    assert verdict.status in ("ok", "excluded", "failed"), way
    assert (verdict.status == "ok") == (not verdict.reason), way
    assert "\n" not in verdict.reason, way
    assert "unexpected" not in verdict.reason, f"{way}: {verdict.reason}"


def test_every_way_to_spoil_a_file_is_gone(bases: dict[str, Path], tmp_path: Path) -> None:
    """Seeds that leave a way out would test less than they say."""
    gone = set()
    for name, count in (("packed nwb2", 160), ("abf2", 30)):
        for number in range(count):
            rng = np.random.default_rng([7, number])
            gone.add(mutate(bases[name], tmp_path / "mutant", rng))
    assert gone == {*ON_BYTES, *ON_HDF5, *ON_ABF}
