"""Datatypes of the Open Inference Protocol and their NumPy counterparts."""

from __future__ import annotations

from typing import Any

import numpy as np

BYTES, BOOL, FP16, BF16 = "BYTES", "BOOL", "FP16", "BF16"

BINARY_ONLY = (FP16, BF16)
"""Datatypes that the protocol defines in binary data, but not in JSON."""

ELEMENTS: dict[str, np.dtype[Any]] = {
    BOOL: np.dtype("u1"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    BF16: np.dtype("<u2"),
}
"""Binary form of every datatype except BYTES. A BF16 is the upper half of an FP32."""

DATATYPES = dict.fromkeys((*ELEMENTS, BYTES))
"""Every supported datatype; a dict for quick look-ups in order."""

INTEGERS: dict[str, np.iinfo[Any]] = {
    name: np.iinfo(dtype) for name, dtype in ELEMENTS.items() if "INT" in name
}
"""Integer datatypes with their ranges."""
