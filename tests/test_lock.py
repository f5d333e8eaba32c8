"""The lock names one version of everything, and they are versions pyproject.toml allows."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = [
    line
    for line in (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def test_the_lock_is_plain_names_and_versions() -> None:
    for line in LOCK:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    names = [line.split("==")[0] for line in LOCK]
    assert names == sorted(set(names))


def test_the_lock_satisfies_the_floors() -> None:
    locked = {name: Version(version) for name, version in (line.split("==") for line in LOCK)}
    needed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cluster"]
    for requirement in map(Requirement, needed):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement
