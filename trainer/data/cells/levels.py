"""The distinct values of a column, each held once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .text import category_text


@dataclass(frozen=True)
class Levels:
    """A column as distinct values and a code per row.

    A check of all cells needs to look only at the levels, and a category column has few levels.

    Attributes:
        names: str objects (levels,), as ``category_text`` writes them, in order of appearance.
        codes: int64 (rows,), indices of ``names``; -1 is missing.
    """

    names: NDArray[np.object_]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ChunkedArray[Any]) -> Self:
        """Return the levels of a column of text, numbers or booleans."""
        encoded: Any = column.dictionary_encode().combine_chunks()
        indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        if _are_category_texts(encoded.dictionary):  # avoids a loop over a million texts
            names = encoded.dictionary.to_numpy(zero_copy_only=False)
            return cls(names, indices.astype(np.int64))
        texts = [category_text(value) for value in encoded.dictionary.to_pylist()]
        # Two values may share a text (0.0 and -0.0) or have none (infinity).
        code_of = {text: code for code, text in enumerate(dict.fromkeys(filter(None, texts)))}
        codes = np.array([code_of.get(text, -1) for text in texts] + [-1], np.int64)
        return cls(np.array(list(code_of), object), codes[indices])

    @property
    def filled(self) -> int:
        """Number of cells that are not missing."""
        return int(np.count_nonzero(self.codes >= 0))

    def counts(self) -> NDArray[np.int64]:
        """Return the rows per level, int64 (levels,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    def per_row(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Return a value per row, (rows,), from a value per level, (levels,), and one for missing."""
        return np.append(values, missing)[self.codes]  # code -1 selects the last value

    def matching(self, pattern: str) -> NDArray[np.bool_]:
        """Return which levels match a regular expression (RE2), bool (levels,)."""
        matches = pc.match_substring_regex(pa.array(self.names, pa.string()), pattern)
        return np.asarray(matches.to_numpy(zero_copy_only=False), np.bool_)

    def share(self, pattern: str) -> float:
        """Return the share of filled cells that match a regular expression."""
        return float(self.counts()[self.matching(pattern)].sum()) / max(self.filled, 1)


def _are_category_texts(values: pa.Array[Any]) -> bool:
    """Return whether values are trimmed, non-empty texts, as ``category_text`` writes them."""
    if not pa.types.is_string(values.type):
        return False
    is_tidy = pc.equal(pc.utf8_trim_whitespace(values), values)
    return bool(pc.all(pc.and_(is_tidy, pc.not_equal(values, ""))).as_py())
