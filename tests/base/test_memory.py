"""Free memory: of the machine, at most what a job was granted."""

from pathlib import Path

import pytest

from sts.base.memory import free_memory_bytes

GB = 10**9


def make_root(
    root: Path, *, available_kb: int, group: str = "", limits: dict[str, str] | None = None
) -> Path:
    """Write what Linux tells of a machine and of the control groups of this process."""
    files = {
        "proc/meminfo": f"MemTotal: 99000000 kB\nMemAvailable:   {available_kb} kB\n",
        "proc/self/cgroup": group,
    }
    for name, text in (files | (limits or {})).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_what_is_available_is_free_where_nothing_was_granted(tmp_path: Path) -> None:
    assert free_memory_bytes(make_root(tmp_path, available_kb=8_000)) == 8_000 * 1024


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "3000000000\n"}),
        # SLURM limits the job, not the step inside it.
        (
            "0::/slurm/job_1/step_0\n",
            {
                "sys/fs/cgroup/slurm/job_1/memory.max": "3000000000\n",
                "sys/fs/cgroup/slurm/job_1/step_0/memory.max": "max\n",
            },
        ),
        (
            "4:cpu:/a\n3:memory:/job\n0::/\n",
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "3000000000\n",
            },
        ),
        # A container sees its own group at the top, whatever it is called outside.
        (
            "3:memory:/docker/abc\n",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000000\n"},
        ),
    ],
)
def test_no_more_than_was_granted_is_free(
    tmp_path: Path, group: str, limits: dict[str, str]
) -> None:
    root = make_root(tmp_path, available_kb=20_000_000, group=group, limits=limits)
    assert free_memory_bytes(root) == 3 * GB


def test_a_grant_beyond_the_machine_adds_nothing(tmp_path: Path) -> None:
    limits = {"sys/fs/cgroup/memory.max": f"{50 * GB}\n"}
    root = make_root(tmp_path, available_kb=1_000, group="0::/\n", limits=limits)
    assert free_memory_bytes(root) == 1_000 * 1024


def test_a_machine_that_does_not_tell_counts_as_half_free(tmp_path: Path) -> None:
    assert 2**28 < free_memory_bytes(tmp_path) < 2**50
