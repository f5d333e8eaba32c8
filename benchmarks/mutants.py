"""Build thousands of damaged recordings, and read damaged texts.

    python benchmarks/mutants.py [--files 2000] [--seed 0] [--workers 2] [--out DIR]

Damages small files of one simulated cell in every format, builds them all, prints the outcomes and
writes DIR/mutants.json. Fails unless every file has its row and its digest. A tenth as many cells
of Igor files, with one damaged file each, are built by --series. Before that it damages texts
(models, labels, tables, splits, settings), --texts of each kind, and reads them: fails unless each
is read or refused in one line within 10 s.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# The damaged files are those of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.recordings.mutator import mutate, write_bases
from tests.recordings.wave_files import PATTERN, write_cell_of_waves
from tests.studies.text_bases import read_mutants
from tests.studies.text_bases import write_bases as write_texts

from processes import Watch, describe_machine
from sts.base.files import read_json, sha256_of, write_json
from sts.base.sandbox import Limits
from sts.datasets.build import BuildJob, build
from sts.datasets.cell_results import BuildSettings
from sts.datasets.table import FeatureRow, read_features

LIMITS = Limits(memory_mb=1024, processor_s=20, wall_s=60)


def write_mutants(folder: Path, *, files: int, seed: int) -> dict[str, tuple[str, str]]:
    """Write good files and damaged ones; return for each its original and its damage."""
    bases = write_bases(folder)
    for path in bases.values():
        if path.suffix == ".nwb":
            # Without an id a file is a cell of its own.
            with h5py.File(path, "r+") as file:
                for name in ("session_id", "aibs_specimen_id"):
                    file["general"].pop(name, None)
    done = {path.name: (name, "") for name, path in bases.items()}
    for number in range(files):
        rng = np.random.default_rng([seed, number])
        name = list(bases)[number % len(bases)]
        path = folder / f"{number:05d}{bases[name].suffix}"
        done[path.name] = (name, mutate(bases[name], path, rng))
    return done


def write_igor_mutants(folder: Path, *, cells: int, seed: int) -> dict[str, tuple[str, str]]:
    """Write a good cell of Igor files and others with one damaged file; return their damage."""
    done = {}
    for number in range(cells + 1):
        name = f"cell{number:05d}"
        paths = sorted(write_cell_of_waves(folder / name).iterdir())
        way = ""
        if number:
            rng = np.random.default_rng([seed, 1, number])
            sound = folder.parent / "sound.ibw"
            path = paths[rng.integers(len(paths))]
            path.replace(sound)
            way = mutate(sound, path, rng)
        done[f"{name}/{PATTERN.partition('/')[2]}"] = ("igor", way)
    return done


def describe_ending(row: FeatureRow, truth: FeatureRow) -> str:
    """Return the outcome of a file: true values, other values, or its status."""
    if row.status != "ok":
        return row.status
    same = np.array_equal(list(row.values.values()), list(truth.values.values()), equal_nan=True)
    return "true" if same else "other values"


def list_files(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def build_mutants(
    folder: Path, done: dict[str, tuple[str, str]], *, workers: int, series: str = ""
) -> dict[str, Any]:
    """Build the files in `mutants` of a folder and return the outcomes."""
    settings = BuildSettings(store=False, features=True)
    job = BuildJob(folder=folder / "mutants", out=folder / "out", settings=settings,
                   workers=workers, limits=LIMITS, series=series)  # fmt: skip
    begin = time.perf_counter()
    with Watch() as watch:
        build(job)
    seconds = time.perf_counter() - begin
    return {
        "files": len(done),
        "seconds": round(seconds, 1),
        "files_per_s": round(len(done) / seconds, 1),
        "largest_process_mb": round(watch.largest_mb),
        "all_processes_mb": round(watch.together_mb),
        **check_rows(folder, done),
    }


def check_rows(folder: Path, done: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Check that every file has a row and its digest; return the outcomes."""
    rows = {row.file: row for row in read_features(folder / "out" / "features.csv")}
    manifest = read_json(folder / "out" / "manifest.json")["features"]["files"]
    assert set(rows) == set(done)
    assert {entry["file"] for entry in manifest} == {
        path.relative_to(folder / "mutants").as_posix() for path in list_files(folder / "mutants")
    }
    truths = {name: rows[file] for file, (name, way) in done.items() if not way}
    assert all(truth.status == "ok" for truth in truths.values())
    for entry in manifest:
        assert entry["sha256"] == sha256_of(folder / "mutants" / entry["file"]), entry["file"]
    ends = {file: describe_ending(row, truths[done[file][0]]) for file, row in rows.items()}
    reasons = Counter(row.reason.split(":")[0] for row in rows.values() if row.reason)
    assert not any("unexpected" in reason for reason in reasons)
    table: dict[str, Counter[str]] = {}
    for file, (_, way) in done.items():
        table.setdefault(way or "nothing", Counter())[ends[file]] += 1
    return {
        "endings": Counter(ends.values()),
        "ways": table,
        "reasons": dict(reasons.most_common()),
        "crashes": sum("its reader" in row.reason for row in rows.values()),
        "too_slow": sum("took more than" in row.reason for row in rows.values()),
        "too_large": sum("more memory than" in row.reason for row in rows.values()),
    }


def spoil_texts(*, count: int, seed: int) -> dict[str, Any]:
    """Return the outcomes of reading damaged texts, `count` of each kind."""
    with tempfile.TemporaryDirectory() as name:
        bases = write_texts(Path(name))
        found = {}
        for kind, (path, read) in bases.items():
            found[kind] = read_mutants(path, read, count=count, seed=seed)
            print(f"{kind:24}{found[kind]}", flush=True)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="(2000)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--texts", type=int, default=500, help="of each kind (500)")
    parser.add_argument("--workers", type=int, default=2, help="(2)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    args = parser.parse_args()
    texts = spoil_texts(count=args.texts, seed=args.seed)
    if not args.files:
        write_json(args.out / "text_mutants.json", {"machine": describe_machine(), "texts": texts})
        return
    with tempfile.TemporaryDirectory() as name:
        files, igor = Path(name, "files"), Path(name, "igor")
        done = write_mutants(files / "mutants", files=args.files, seed=args.seed)
        found = build_mutants(files, done, workers=args.workers)
        cells = write_igor_mutants(igor / "mutants", cells=args.files // 10, seed=args.seed)
        of_igor = build_mutants(igor, cells, workers=args.workers, series=PATTERN)
    report = {
        "machine": describe_machine(),
        "seed": args.seed,
        "workers": args.workers,
        "limit_mb": LIMITS.memory_mb,
        "texts": texts,
        **found,
        "igor": of_igor,
    }
    for part in (found, of_igor):
        for way, ends in sorted(part["ways"].items()):
            print(f"{way:28}" + "".join(f"{end} {n:4}   " for end, n in sorted(ends.items())))
        for key, value in part.items():
            if key != "ways":
                print(f"{key}: {value}")
    write_json(args.out / "mutants.json", report)


if __name__ == "__main__":
    main()
