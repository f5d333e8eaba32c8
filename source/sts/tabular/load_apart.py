"""In the sandbox: LightGBM loads a text before this process does.

Only its library is loaded, through ctypes: the package of Python around it takes a second.
"""

import ctypes
import importlib.util
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = "lib/lib_lightgbm.so"
WORK: Final = "sts.tabular.load_apart:load"


def load(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Load the text in a file, call a cell of zeros and return how many classes it has."""
    found = importlib.util.find_spec("lightgbm")
    library = Path(found.origin).parent / LIBRARY if found and found.origin else None
    if library is None or not library.is_file():
        # On another system it is called otherwise; the check of the text stands all the same.
        return {}, b""
    own = ctypes.CDLL(str(library))
    own.LGBM_GetLastError.restype = ctypes.c_char_p
    own.LGBM_RegisterLogCallback(SILENT)
    handle, rounds, length = ctypes.c_void_p(), ctypes.c_int(0), ctypes.c_int64(0)
    # A string of C ends with a zero byte.
    text = Path(request["path"]).read_bytes() + b"\0"
    row = (ctypes.c_double * int(request["features"]))()
    answer = (ctypes.c_double * int(request["classes"]))()
    failed = own.LGBM_BoosterLoadModelFromString(
        ctypes.c_char_p(text), ctypes.byref(rounds), ctypes.byref(handle)
    ) or own.LGBM_BoosterPredictForMat(
        handle, row, DOUBLE, 1, len(row), 1, RAW, 0, -1, b"num_threads=1", ctypes.byref(length),
        answer,
    )  # fmt: skip
    if failed:
        return {"error": own.LGBM_GetLastError().decode(errors="replace")}, b""
    return {"rounds": rounds.value, "classes": length.value}, b""


# As the C interface numbers them: an array of float64; scores before the softmax.
DOUBLE: Final = 1
RAW: Final = 1


def _drop(message: bytes) -> None:
    """Drop what the library would print."""


SILENT: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_drop)
