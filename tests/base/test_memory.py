"""Free memory: of the machine, at most what a job was granted."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sts.base.memory import free_memory_bytes

GB = 10**9


def make_root(root: Path, *, group: str = "", limits: dict[str, str] | None = None) -> Path:
    """Write what Linux tells of the control groups of this process."""
    for name, text in ({"proc/self/cgroup": group} | (limits or {})).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def available_bytes(monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a machine of which 20 GB are free."""
    memory = SimpleNamespace(available=20 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return memory.available


def test_what_is_available_is_free_where_nothing_was_granted(
    tmp_path: Path, available_bytes: int
) -> None:
    assert free_memory_bytes(make_root(tmp_path)) == available_bytes
    assert free_memory_bytes(tmp_path / "no Linux") == available_bytes


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
@pytest.mark.usefixtures("available_bytes")
def test_no_more_than_was_granted_is_free(
    tmp_path: Path, group: str, limits: dict[str, str]
) -> None:
    root = make_root(tmp_path, group=group, limits=limits)
    assert free_memory_bytes(root) == 3 * GB


def test_a_grant_beyond_the_machine_adds_nothing(tmp_path: Path, available_bytes: int) -> None:
    limits = {"sys/fs/cgroup/memory.max": f"{50 * GB}\n"}
    root = make_root(tmp_path, group="0::/\n", limits=limits)
    assert free_memory_bytes(root) == available_bytes


def test_this_machine_has_memory() -> None:
    assert 2**20 < free_memory_bytes() < 2**50
