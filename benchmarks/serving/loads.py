"""The loads: model, rows per request, connections and encoding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One request, repeated over some connections.

    Attributes:
        model: name of the model.
        rows: rows per request.
        connections: number of connections; each sends again when its response has arrived.
        encoding: ``json``, or ``binary`` for binary tensors.
    """

    model: str
    rows: int
    connections: int
    encoding: str = "json"

    def __str__(self) -> str:
        """Return the load as it is listed."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        encoding = "" if self.encoding == "json" else f" as {self.encoding} tensors"
        return f"{self.model}, {rows}{encoding}, c={self.connections}"


SMALL = Load("small", 1, 64)

SMALL_16_CONNECTIONS = Load("small", 1, 16)

SMALL_1_CONNECTION = Load("small", 1, 1)

SMALL_MANY_ROWS = Load("small", 100, 64)

HEAVY = Load("heavy", 1, 64)

HEAVY_MANY_ROWS = Load("heavy", 100, 64)

MIXED = Load("mixed", 1, 64)

MIXED_MANY_ROWS = Load("mixed", 100, 64)

HEAVY_BINARY = Load("heavy", 100, 64, "binary")

LARGE = Load("wide", 1000, 16)

LARGE_BINARY = Load("wide", 1000, 16, "binary")

CONSTANT_LOADS = (SMALL_1_CONNECTION, SMALL_16_CONNECTIONS, SMALL)

PEER_LOADS = (*CONSTANT_LOADS, SMALL_MANY_ROWS, HEAVY, HEAVY_MANY_ROWS, MIXED, MIXED_MANY_ROWS)

OUR_LOADS = (*PEER_LOADS, HEAVY_BINARY, LARGE, LARGE_BINARY)
