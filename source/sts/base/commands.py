"""What the commands are called: `sts_pipeline.py` in a clone, `sts-pipeline` once installed."""

import re
import sys
from pathlib import Path
from typing import Final

# Script -> the command of the same purpose that an installation puts on the path.
COMMANDS: Final = {
    "sts_pipeline.py": "sts-pipeline",
    "baseline_pipeline.py": "sts-baseline",
    "augment_benchmark.py": "sts-augment",
    "calcium_gan.py": "sts-calcium",
    "data_pipeline.py": "sts-data",
}


def is_installed() -> bool:
    """Tell whether the user typed an installed command rather than the name of a script."""
    return _typed() in COMMANDS.values()


def program(script: str) -> str:
    """Return the name of a script for its usage line: that which was typed."""
    return COMMANDS[script] if _typed() == COMMANDS[script] else script


def as_typed(text: str) -> str:
    """Return a text that names scripts with the names that work where it is read."""
    if not is_installed():
        return text
    # A script that stands in a path is a file, and stays one.
    scripts = "|".join(map(re.escape, COMMANDS))
    return re.sub(
        rf"(?:python3? source/|(?<![\w./-]))({scripts})(?!\w)",
        lambda found: COMMANDS[found[1]],
        text,
    )


def _typed() -> str:
    # On some systems an installed command is a file *.exe.
    return Path(sys.argv[0] if sys.argv else "").name.removesuffix(".exe")
