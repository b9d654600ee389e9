"""What the servers are asked: models, rows in a request, forms, connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One kind of request, over some connections.

    Attributes:
        model: name of the model.
        rows: in each request.
        connections: each sends its next request as soon as the last one is answered.
        form: ``json``, or ``binary`` for tensors as bytes.
    """

    model: str
    rows: int
    connections: int
    form: str = "json"

    def __str__(self) -> str:
        """As it is listed."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        form = "" if self.form == "json" else f" as {self.form} tensors"
        return f"{self.model}, {rows}{form}, c={self.connections}"


SMALL = Load("small", 1, 64)

SMALL_FEW = Load("small", 1, 16)

SMALL_ALONE = Load("small", 1, 1)

SMALL_MANY_ROWS = Load("small", 100, 64)

HEAVY = Load("heavy", 1, 64)

HEAVY_MANY_ROWS = Load("heavy", 100, 64)

MIXED = Load("mixed", 1, 64)

MIXED_MANY_ROWS = Load("mixed", 100, 64)

HEAVY_BINARY = Load("heavy", 100, 64, "binary")

LARGE = Load("wide", 1000, 16)

LARGE_BINARY = Load("wide", 1000, 16, "binary")

CONSTANT_LOADS = (SMALL_ALONE, SMALL_FEW, SMALL)

PEER_LOADS = (*CONSTANT_LOADS, SMALL_MANY_ROWS, HEAVY, HEAVY_MANY_ROWS, MIXED, MIXED_MANY_ROWS)

OUR_LOADS = (*PEER_LOADS, HEAVY_BINARY, LARGE, LARGE_BINARY)
