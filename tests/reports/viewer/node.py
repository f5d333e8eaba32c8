"""Run the modules of the viewer in Node, where it is installed."""

import base64
import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from sts.base.types import Floats
from sts.reports.viewer.page import FOLDER

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here: install Node.js 18 or newer")


def run_node(script: str, *values: Any) -> str:
    """Return what a script writes; `values` are its arguments as JSON, FOLDER its modules."""
    assert NODE is not None
    code = f"const values = process.argv.slice(1).map((text) => JSON.parse(text));\n{script}"
    code = code.replace("FOLDER", FOLDER.as_uri())
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", code, *map(json.dumps, values)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def floats_of(line: str) -> Floats:
    return np.frombuffer(base64.b64decode(line), dtype="<f4")
