"""Try a GPU and measure it, within some minutes, and go on where a shorter run stopped.

    python benchmarks/gpu.py [--minutes 8] [--device auto] [--parts PART ...] [--out FILE]

In this order: all tests marked `cuda`; scalograms at full and at image size; images a second of the
four networks at their published sizes (float32, TF32, bfloat16, compiled); one whole fold of the
published protocol, and from it how long the published search takes; the calcium networks; the deep
generators of the augmentation benchmark. Every part runs in a process of its own and ends at its
limit; every row is written as soon as it is measured, and rows that the file holds are not measured
again. Without a GPU the same runs on the CPU with small sizes, which shows that the kit works and
says nothing of speed.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_json, write_json

RESULTS: Final = Path(__file__).resolve().parent / "results"
PART_NAMES: Final = ("tests", "scalograms", "networks", "fold", "calcium", "generators")
# A part with less time left than this waits for the next run.
LEAST_S: Final = 10.0

Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the table; return 0 when all is measured."""
    asked = parse_arguments(argv)
    if asked.part:
        return serve(asked.part, asked.device)
    about = describe_machine(asked.device)
    device = "cuda" if about["gpu"] else "cpu"
    if device == "cpu":
        print("no GPU here: small sizes on the CPU; the figures say nothing of a GPU")
    out = asked.out or RESULTS / f"gpu-{slug(about['device'])}.json"
    results = read_results(out, about)
    end = time.monotonic() + 60 * asked.minutes
    for name in asked.parts:
        if name in results["complete"]:
            continue
        left_s = end - time.monotonic()
        if left_s < LEAST_S:
            break
        limit_s = min(left_s, 60 * asked.minutes * read_shares()[name])
        done = [row["what"] for row in results["rows"] if row["part"] == name]
        command = [sys.executable, __file__, "--part", name, "--device", asked.device]
        for row in measure_part(command, done, limit_s=limit_s, results=results, name=name):
            results["rows"].append({"part": name, **row})
            write_json(out, results)
            print(format_row(results["rows"][-1]), flush=True)
        write_json(out, results)
    missing = [name for name in PART_NAMES if name not in results["complete"]]
    print(f"\nwritten to {out}")
    if missing:
        print(f"not complete: {', '.join(missing)}; the same command goes on")
    return 3 if missing else 0


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="in all (default 8)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--parts", nargs="+", choices=PART_NAMES, default=PART_NAMES)
    parser.add_argument("--out", type=Path, help="JSON (default: results/gpu-DEVICE.json)")
    parser.add_argument("--part", choices=PART_NAMES, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def read_results(out: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results in a file, or empty ones; refuse those of another machine."""
    if not out.is_file():
        return {"machine": dict(about), "complete": [], "rows": []}
    found: dict[str, Any] = read_json(out)
    there = found["machine"]["device"]
    if there != about["device"]:
        raise StsError(
            f"{out} was measured on {there}, this is {about['device']}: name another --out"
        )
        # Parts that failed are measured again.
    again = {row["part"] for row in found["rows"] if row.get("failed")}
    found["rows"] = [row for row in found["rows"] if not row.get("failed")]
    found["complete"] = [part for part in found["complete"] if part not in again]
    return found


def measure_part(
    command: Sequence[str],
    done: Sequence[str],
    *,
    limit_s: float,
    results: dict[str, Any],
    name: str,
) -> Iterator[Row]:
    """Measure a part in a process of its own and yield its rows; end it at the limit."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # Kill the whole group: tests start other processes.
    stopper = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
    stopper.start()
    with process:
        with process.stdin as pipe:
            json.dump(list(done), pipe)
        for text in process.stdout:
            yield json.loads(text)
    stopper.cancel()
    status = process.returncode
    if status == 0:
        results["complete"].append(name)
    elif status == -signal.SIGKILL:
        print(f"{name}: stopped at its limit of {limit_s:.0f} s")
    else:
        print(f"{name}: ended with status {status}")


def serve(name: str, device: str) -> int:
    """Measure one part and print its rows, a line of JSON each."""
    from gpu_parts import PARTS
    from sts.learning.device import choose_device

    done = frozenset(json.load(sys.stdin))
    _, part = PARTS[name]
    # What libraries print must not mix with the rows.
    rows, sys.stdout = sys.stdout, sys.stderr
    for row in part(choose_device(device), done):
        print(json.dumps(row), file=rows, flush=True)
    return 0


def read_shares() -> dict[str, float]:
    """Return the share of the time for each part."""
    from gpu_parts import PARTS

    return {name: share for name, (share, _) in PARTS.items()}


def format_row(row: Row) -> str:
    """Return a row of the table."""
    memory = "" if row.get("memory_gb") is None else f"{row['memory_gb']:.2f} GB"
    more = []
    if row.get("set_up_s") is not None:
        more.append(f"set-up {row['set_up_s']:.1f} s")
    if row.get("published_search_h") is not None:
        more.append(f"published search {row['published_search_h']:.1f} h")
    if row.get("rows_per_s") is not None:
        more.append(f"{row['rows_per_s']:.0f} rows/s drawn")
    figure = f"{row['value']:.4g} {row['unit']}"
    return f"{row['part']:11} {row['what']:38} {figure:32} {memory:9} {', '.join(more)}".rstrip()


def describe_machine(name: str) -> dict[str, Any]:
    """Return the machine and the versions of libraries."""
    import torch

    from sts.learning.device import choose_device

    device = choose_device(name)
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"CPU {platform.machine()}",
        "gpu": on_gpu,
        "cuda": torch.version.cuda if on_gpu else None,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {each: metadata.version(each) for each in ("numpy", "torch", "torchvision")},
    }


def slug(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StsError as error:
        sys.exit(f"error: {error}")
