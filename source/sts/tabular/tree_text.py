"""LightGBM's text format, checked strictly before LightGBM reads it.

The library trusts its files: a child that points nowhere, or back, causes a crash or an endless
loop. Here every count is compared with the text, and every tree is checked to be a tree. A text
that passes is first loaded in the sandbox, through ctypes, because the Python package around the
library takes a second to import.
"""

import ctypes
import importlib.util
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.settings import shorten
from sts.base.types import CLASSES, Ints

# Larger than any model of a search: 10,000 rounds of 31 leaves take 140 MB.
MAX_TREE_BYTES: Final = 2**28
MAX_LEAVES: Final = 131072
# The memory for the explanation of a prediction grows with the square of the depth.
MAX_TREE_DEPTH: Final = 1000
VERSION: Final = "v4"
HEADER_LINES: Final = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
# Lines of a tree with a value for each inner node, then lines with a value for each leaf.
INNER: Final = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
LEAF: Final = ("leaf_value", "leaf_weight", "leaf_count")
TREE: Final = frozenset({"num_leaves", "num_cat", "is_linear", "shrinkage", *INNER, *LEAF})
REAL_LINES: Final = frozenset(
    {"split_gain", "threshold", "internal_value", "internal_weight", "leaf_value", "leaf_weight"}
)
WHOLE: Final = frozenset({*INNER, *LEAF} - REAL_LINES)
MAX_COUNT: Final = 2**31 - 1
# Codes of numeric splits, with each treatment of missing values; odd codes split categories.
DECISIONS: Final = (0, 2, 4, 6, 8, 10)
NUMBER_PATTERN: Final = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
# Numbers consist of these letters only. Python alone would also accept 1_000.
WHOLE_LETTERS: Final = str.maketrans("", "", "0123456789- ")
REAL_LETTERS: Final = str.maketrans("", "", "0123456789-+.e ")
INFO: Final = re.compile(rf"none|\[(?:{NUMBER_PATTERN}|-?inf):(?:{NUMBER_PATTERN}|-?inf)\]")
TAIL: Final = re.compile(
    r"|feature_importances:|parameters:|end of parameters|pandas_categorical:null"
    r"|[^=\[\]]+=\d{1,12}|\[[a-z0-9_]+: [\w .,:+-]*\]"
)
END_OF_TREES: Final = b"end of trees\n"
# The function that the sandbox runs.
LOADING: Final = "sts.tabular.tree_text:load_library"
_LIBRARY: Final = "lib/lib_lightgbm.so"
# Constants of the C interface: an array of float64; scores before the softmax.
FLOAT64_CODE: Final = 1
RAW_SCORE_CODE: Final = 1


class NotTrees(StsError):  # noqa: N818 - a verdict on a text, not an error of a program
    """The fault of a text that should contain trees."""


def check_tree_text(content: bytes, names: Sequence[str]) -> str:
    """Return the text of a model of the four classes and these features; a fault is an error.

    Parameters
    ----------
    content
        The text that `BoostedTrees.text` returned, as UTF-8.
    """
    if len(content) > MAX_TREE_BYTES:
        raise NotTrees(f"{len(content):,} bytes are too many")
    head, blank, _ = content.partition(b"\n\n")
    header = _values(_lines(head), HEADER_LINES, "the header", first="tree")
    _check_header(header, names)
    sizes = _read_numbers(header["tree_sizes"], "tree_sizes").tolist()
    if not sizes or len(sizes) % len(CLASSES):
        raise NotTrees(f"{len(sizes)} trees are not complete rounds of {len(CLASSES)}")
    start = len(head) + len(blank)
    if min(sizes) < 1 or start + sum(sizes) > len(content):
        raise NotTrees("tree_sizes do not fit the text: it is cut off or changed")
    trees = []
    for number, size in enumerate(sizes):
        block = _lines(content[start : start + size].removesuffix(b"\n\n\n"))
        trees.append(_values(block, TREE, f"tree {number}", first=f"Tree={number}"))
        start += size
    _check_trees(trees, len(names))
    _check_tail(content[start:])
    return content.decode("utf-8")


def _check_header(header: Mapping[str, str], names: Sequence[str]) -> None:
    count = len(CLASSES)
    wanted = {
        "version": VERSION,
        "num_class": str(count),
        "num_tree_per_iteration": str(count),
        "label_index": "0",
        "max_feature_idx": str(len(names) - 1),
        "objective": f"multiclass num_class:{count}",
    }
    for name, value in wanted.items():
        if header[name] != value:
            raise NotTrees(f"{name} must be {value}, not {shorten(header[name])}")
    if header["feature_names"].split(" ") != list(names):
        raise NotTrees("its features are not those of its card")
    infos = header["feature_infos"].split(" ")
    if len(infos) != len(names) or not all(map(INFO.fullmatch, infos)):
        raise NotTrees(f"feature_infos must be a range for each of {len(names)} features")


def _check_trees(trees: Sequence[Mapping[str, str]], features: int) -> None:
    """Check all trees at once, line by line: most have hundreds."""
    ones = np.ones(len(trees), dtype=np.int64)
    for name in ("num_cat", "is_linear"):
        if _read_line(trees, name, ones).any():
            raise NotTrees(f"{name} must be 0 in every tree: categories are not used")
    leaves = _read_line(trees, "num_leaves", ones)
    if leaves.min() < 1 or leaves.max() > MAX_LEAVES:
        raise NotTrees(f"a tree must have 1 to {MAX_LEAVES} leaves")
    lengths = {name: leaves - 1 for name in INNER} | dict.fromkeys(LEAF, leaves)
    numbers = {name: _read_line(trees, name, lengths[name]) for name in WHOLE}
    for name in (*REAL_LINES, "shrinkage"):
        # At an infinite threshold only missing values go the other way.
        _read_line(trees, name, lengths.get(name, ones), real=True, infinite=name == "threshold")
    split = numbers["split_feature"]
    if (split < 0).any() or (split >= features).any():
        raise NotTrees("a tree splits a feature that does not exist")
    if not np.isin(numbers["decision_type"], DECISIONS).all():
        raise NotTrees("a decision_type is not that of a split of numbers")
    _check_nodes(numbers, leaves)


def _check_nodes(numbers: Mapping[str, Ints], leaves: Ints) -> None:
    """Raise an error if nodes do not form one tree each, or counts do not add up."""
    inner = leaves - 1
    tree = np.repeat(np.arange(len(leaves)), inner)
    first_inner, first_leaf = np.cumsum(inner) - inner, np.cumsum(leaves) - leaves
    node = np.arange(inner.sum()) - first_inner[tree]
    children = np.stack([numbers["left_child"], numbers["right_child"]])
    # Leaf k is the child with number -1 - k. Nodes are numbered in the order of their creation, so
    # that no child has a smaller number than its parent.
    sound = np.where(
        children < 0, -1 - children < leaves[tree], (children > node) & (children < inner[tree])
    )
    if not sound.all():
        raise NotTrees(f"tree {tree[~sound.all(axis=0)][0]}: a child leads nowhere, or back")
    # Indices of children: all inner nodes of all trees, then all leaves.
    place = np.where(
        children < 0, inner.sum() + first_leaf[tree] - 1 - children, first_inner[tree] + children
    )
    parents = np.bincount(place.ravel(), minlength=inner.sum() + leaves.sum())
    parents[first_inner[inner > 0]] += 1
    parents[inner.sum() + first_leaf[inner == 0]] += 1
    if (parents != 1).any():
        raise NotTrees("the nodes of a tree do not form a tree")
    counts = np.concatenate([numbers["internal_count"], numbers["leaf_count"]])
    if (counts[place].sum(axis=0) != numbers["internal_count"]).any() or (counts < 0).any():
        raise NotTrees("the counts of a tree do not add up")
    _check_depth(place, first_inner[inner > 0])


def _check_depth(place: Ints, roots: Ints) -> None:
    level = roots
    for _ in range(MAX_TREE_DEPTH):
        below = place[:, level].ravel()
        level = below[below < place.shape[1]]
        if not len(level):
            return
    raise NotTrees(f"a tree has more than {MAX_TREE_DEPTH} levels")


def _check_tail(tail: bytes) -> None:
    """Raise an error for lines after the trees that LightGBM does not write."""
    if not tail.startswith(END_OF_TREES):
        raise NotTrees("the trees do not end where tree_sizes say: it is cut off or changed")
    for line in _lines(tail.removeprefix(END_OF_TREES).removesuffix(b"\n")):
        if not TAIL.fullmatch(line) or not line.isprintable():
            raise NotTrees(f"a line after the trees is not from LightGBM: {shorten(line)}")


def _lines(block: bytes) -> list[str]:
    try:
        return block.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise NotTrees("it is not UTF-8 text") from error


def _values(
    lines: Sequence[str], names: Sequence[str] | frozenset[str], where: str, *, first: str
) -> dict[str, str]:
    """Return the values by name; every name must occur exactly once, and no other name."""
    if lines[0] != first:
        raise NotTrees(f"{where} must begin with {first!r}, not {shorten(lines[0])}")
    pairs = [line.partition("=") for line in lines[1:]]
    values = {name: value for name, _, value in pairs}
    if len(values) < len(pairs) or values.keys() != set(names):
        strange = sorted(values.keys() ^ set(names)) or ["a name twice"]
        raise NotTrees(f"{where} lacks a line or has one too many: {shorten(strange[0])}")
    return values


def _read_line(
    trees: Sequence[Mapping[str, str]],
    name: str,
    lengths: Ints,
    *,
    real: bool = False,
    infinite: bool = False,
) -> Any:
    """Return the numbers in one line of all trees, which must have these lengths."""
    lines = [tree[name] for tree in trees]
    counts = np.array([line.count(" ") + 1 if line else 0 for line in lines])
    if (wrong := np.flatnonzero(counts != lengths)).size:
        at = wrong[0]
        raise NotTrees(f"tree {at}: {name} has {counts[at]} values, not {lengths[at]}")
    # A tree without inner nodes has none.
    return _read_numbers(" ".join(filter(None, lines)), name, real=real, infinite=infinite)


def _read_numbers(text: str, name: str, *, real: bool = False, infinite: bool = False) -> Any:
    plain = text.replace("inf", "") if infinite else text
    if plain.translate(REAL_LETTERS if real else WHOLE_LETTERS):
        raise NotTrees(f"{name} must be {'numbers' if real else 'whole numbers'} only")
    with warnings.catch_warnings():
        # numpy stops with a warning at the first text that is not a number.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            numbers = np.fromstring(text, dtype=np.float64 if real else np.int64, sep=" ")
        except ValueError as error:
            raise NotTrees(f"{name}: {shorten(str(error))}") from error
    if numbers.size != (text.count(" ") + 1 if text else 0):
        raise NotTrees(f"{name} must be {'numbers' if real else 'whole numbers'} only")
    if real and not infinite and not np.isfinite(numbers).all():
        raise NotTrees(f"{name} must be finite")
    if not real and numbers.size and not -MAX_COUNT <= numbers.min() <= numbers.max() <= MAX_COUNT:
        raise NotTrees(f"{name} contains a number that is too large")
    return numbers


def load_library(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """In the sandbox: load the text in a file, predict a cell of zeros, return the classes."""
    spec = importlib.util.find_spec("lightgbm")
    library = Path(spec.origin).parent / _LIBRARY if spec and spec.origin else None
    if library is None or not library.is_file():
        # On other systems the file has another name; only the text is checked there.
        return {}, b""
    own = ctypes.CDLL(str(library))
    own.LGBM_GetLastError.restype = ctypes.c_char_p
    own.LGBM_RegisterLogCallback(SILENT_LOG)
    handle, rounds, length = ctypes.c_void_p(), ctypes.c_int(0), ctypes.c_int64(0)
    # A string of C ends with a zero byte.
    text = Path(request["path"]).read_bytes() + b"\0"
    row = (ctypes.c_double * int(request["features"]))()
    answer = (ctypes.c_double * int(request["classes"]))()
    failed = own.LGBM_BoosterLoadModelFromString(
        ctypes.c_char_p(text), ctypes.byref(rounds), ctypes.byref(handle)
    ) or own.LGBM_BoosterPredictForMat(
        handle, row, FLOAT64_CODE, 1, len(row), 1, RAW_SCORE_CODE, 0, -1, b"num_threads=1",
        ctypes.byref(length), answer,
    )  # fmt: skip
    if failed:
        return {"error": own.LGBM_GetLastError().decode(errors="replace")}, b""
    return {"rounds": rounds.value, "classes": length.value}, b""


def _drop(message: bytes) -> None:
    """Ignore the messages of the library."""


SILENT_LOG: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_drop)
