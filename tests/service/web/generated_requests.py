"""Requests that schemathesis makes of ``/openapi.json``, and what their answers are held against."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

JSON = "application/json"

ROWS = ":predict$|^/predict$|^/invocations$"
"""Paths that take more than JSON."""


def _array() -> bytes:
    written = io.BytesIO()
    np.save(written, np.array([[172, 95.5], [180.25, 50]]))
    return written.getvalue()


# RFC 3339 has a year 0 and leap seconds, which Python's calendar has not.
schemathesis.openapi.format("date", st.dates().map(str))
schemathesis.openapi.format(
    "date-time", st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
)
# What these hold no schema can say.
for _name, _content in {
    "text/csv": st.sampled_from([b"height_cm,weight_kg\n172,95\n", b"172,95", b"\xff"]),
    "application/x-ndjson": st.sampled_from([b'[172, 95]\n{"height_cm": 1}\n', b"{", b"\n"]),
    "application/x-npy": st.sampled_from([_array(), _array()[:90], b"\x93NUMPY"]),
    "application/vnd.apache.arrow.stream": st.binary(max_size=200),
}.items():
    schemathesis.openapi.media_type(_name, _content | st.binary(max_size=50))


def config() -> schemathesis.Config:
    """The checks that make sense."""
    rules: dict[str, Any] = {
        "checks": {
            # More is taken than is advertised: a category as a number, a boolean as 0 or 1, columns.
            "negative_data_rejection": {"enabled": False},
            # Without keys an admin's routes answer 403 and never 401.
            "ignored_auth": {"enabled": False},
        },
        "operations": [
            # No schema can say that a tensor has as many values as its shape tells, and its model's
            # names; nor what stands in a table or an array.
            {
                "include-path-regex": f"^/v2/|{ROWS}",
                "checks": {"positive_data_acceptance": {"enabled": False}},
            }
        ],
    }
    return schemathesis.Config.from_dict(rules)


def ask(
    operation: Any,
    mode: GenerationMode,
    examples: int | None = None,
    *,
    answered: bool = False,
    busy: Callable[[str], bool] = lambda path: path.endswith("/ready"),
) -> None:
    """Send generated requests, and hold each answer against the document.

    Args:
        operation: of schemathesis.
        mode: whether they are to fit.
        examples: how many; the profile's number if None.
        answered: whether JSON must be answered 200.
        busy: paths that may be unavailable.
    """

    @settings(
        max_examples=examples or settings.default.max_examples,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if answered:
            assume(case.media_type == JSON)
        # Flask's test client does not unpack an answer.
        answer = case.call_and_validate(headers={"Accept-Encoding": "identity"})
        assert answer.status_code < 500 or busy(operation.path)
        if answered:
            assert answer.status_code == 200, answer.text

    send()


def can_be_wrong(operation: Any) -> bool:
    """Return whether schemathesis can make a wrong request: the names in paths are a fixed list."""
    return bool(operation.body or operation.headers or operation.query)
