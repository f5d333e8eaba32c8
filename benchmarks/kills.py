"""Kill commands at random moments, run them again, and compare with a run that nothing disturbed.

    python benchmarks/kills.py [--kills 10] [--seed 0] [--only build train table augment]
                               [--out benchmarks/results]

Every command works on simulated cells. It runs once undisturbed, in a workspace of its own; then
in a second workspace, where SIGKILL ends it and all its processes again and again, at moments
drawn from the seconds that the undisturbed run took, and the same command at last runs to its end.
Compared are all files that both leave, but for logs, times and paths. Fetching is killed in
`tests/studies/test_fetch.py`, beside a server of its own.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base.files import write_json

SOURCE: Final = Path(__file__).resolve().parent.parent / "source"
RESULTS: Final = Path(__file__).resolve().parent / "results"
CELLS: Final = ("data_pipeline.py", "simulate", "--cells", "48", "--out", "recordings")
# A network keeps a fifth of the training cells aside.
MORE_CELLS: Final = (*CELLS[:3], "96", *CELLS[4:])
BUILD: Final = ("data_pipeline.py", "build", "recordings", "--out", "data", "--features")
SMALL: Final = ("--weights", "none", "--image-size", "32x96", "--epochs", "2", "--folds", "2")
# What each command needs first, and the command.
COMMANDS: Final[Mapping[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]]] = {
    "build": ((CELLS,), BUILD),
    "train": (
        (MORE_CELLS, BUILD),
        ("sts_pipeline.py", "4", "TRAIN", *SMALL, "--trials", "3", "--group-by", "specimen"),
    ),
    "table": (
        (CELLS, BUILD),
        ("baseline_pipeline.py", "--skip-missing", "--trials", "8", "--folds", "2"),
    ),
    "augment": ((), ("augment_benchmark.py", "--method", "smote", "vae", "--demo", "--resume")),
}
# Parts of names of fields, and names of fields and files, that differ between any two runs.
MOMENTARY: Final = ("time", "date", "seconds", "duration", "path", "folder", "host", "root", "run")
MOMENTS: Final = frozenset({"start", "end"})
SKIPPED: Final = (".html", ".txt", ".sqlite", ".png", ".pdf", ".svg", ".lock", ".log", "DONE")


def run_command(root: Path, command: tuple[str, ...], after_s: float | None = None) -> int:
    """Run a script in a workspace, killed after so many seconds; return its exit status."""
    words = [sys.executable, str(SOURCE / command[0]), *command[1:], "--root", str(root), "-q"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE)}
    with (root / "kills.log").open("ab") as log:
        process = subprocess.Popen(
            words, cwd=root, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        try:
            return process.wait(after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def make_workspace(root: Path, steps: tuple[tuple[str, ...], ...]) -> None:
    """Make a workspace and run what a command needs first."""
    (root / "data").mkdir(parents=True)
    for step in steps:
        if run_command(root, step):
            raise RuntimeError(f"{step} failed: {(root / 'kills.log').read_text()[-2000:]}")


def read_products(root: Path) -> dict[str, str]:
    """Return a digest of every file that a finished command left, by its place."""
    digests: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not path.is_file() or hidden or path.name.endswith(SKIPPED) or path.is_symlink():
            continue
        place = "/".join(_plain(part) for part in path.relative_to(root).parts)
        digest = DIGESTS.get(path.suffix, _digest_bytes)
        digests[place] = _digest_json(path, root) if path.suffix == ".json" else digest(path)
    return digests


def _plain(part: str) -> str:
    """Return a folder's name, that of a run without its time."""
    return "<run>" if part[:4].isdecimal() and "-" in part else part


def _digest_bytes(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_json(path: Path, root: Path) -> str:
    text = path.read_text(encoding="utf-8").replace(str(root), "<root>")
    content = _without_moments(json.loads(text))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_moments(v) for k, v in value.items() if not _is_moment(k)}
    return [_without_moments(each) for each in value] if isinstance(value, list) else value


def _is_moment(name: str) -> bool:
    return name in MOMENTS or any(word in name for word in MOMENTARY)


def _digest_hdf5(path: Path) -> str:
    digest = hashlib.sha256()
    with h5py.File(path) as file:
        for name in sorted(file):
            values = np.asarray(file[name][()])
            # The bytes of an array of texts are addresses of them.
            content = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
            digest.update(name.encode() + content)
    return digest.hexdigest()


def _digest_csv(path: Path) -> str:
    """Return the digest of a table without the columns of times."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            {name: value for name, value in row.items() if not _is_moment(name)}
            for row in csv.DictReader(file)
        ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


# Other files are compared byte for byte.
DIGESTS: Final = {".h5": _digest_hdf5, ".csv": _digest_csv}


def measure(name: str, *, kills: int, rng: np.random.Generator, where: Path) -> dict[str, Any]:
    """Return how a command that was killed again and again compares with an undisturbed one."""
    steps, command = COMMANDS[name]
    calm, killed = where / name / "calm", where / name / "killed"
    make_workspace(calm, steps)
    shutil.copytree(calm, killed)
    begin = time.perf_counter()
    if status := run_command(calm, command):
        raise RuntimeError(f"{name}: {status}: {(calm / 'kills.log').read_text()[-2000:]}")
    calm_s = time.perf_counter() - begin
    moments = rng.uniform(0, calm_s, kills)
    ends = [run_command(killed, command, float(moment)) for moment in moments]
    begin = time.perf_counter()
    status = run_command(killed, command)
    last_s = time.perf_counter() - begin
    wanted, came = read_products(calm), read_products(killed)
    return {
        "command": " ".join(command),
        "undisturbed_s": round(calm_s, 1),
        "killed": sum(end == -signal.SIGKILL for end in ends),
        "ended_before": sum(end == 0 for end in ends),
        "other_ends": [end for end in ends if end not in (0, -signal.SIGKILL)],
        "last_status": status,
        "last_s": round(last_s, 1),
        "files": len(wanted),
        "equal": sum(came.get(place) == digest for place, digest in wanted.items()),
        "missing": sorted(set(wanted) - set(came)),
        "more": sorted(set(came) - set(wanted)),
        "different": sorted(
            place for place in wanted if place in came and came[place] != wanted[place]
        ),
    }


def main() -> None:
    """Measure, print a line each, and keep the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=tuple(COMMANDS), default=tuple(COMMANDS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(args.only):
            rng = np.random.default_rng((args.seed, number))
            rows[name] = measure(name, kills=args.kills, rng=rng, where=Path(folder))
            print(name, json.dumps(rows[name], indent=1), flush=True)
            machine = f"{platform.machine()}, {os.cpu_count()} cores"
            write_json(
                args.out / "kills.json", {"machine": machine, "seed": args.seed, "rows": rows}
            )


if __name__ == "__main__":
    main()
