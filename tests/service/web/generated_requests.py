"""Random requests from ``/openapi.json``, by schemathesis, and the checks of their responses."""

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
"""Paths that accept formats other than JSON."""


def _array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([[172, 95.5], [180.25, 50]]))
    return content.getvalue()


# RFC 3339 allows the year 0 and leap seconds, which Python's calendar does not have.
schemathesis.openapi.format("date", st.dates().map(str))
schemathesis.openapi.format(
    "date-time", st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
)
# No schema describes the content of these formats.
for _name, _content in {
    "text/csv": st.sampled_from([b"height_cm,weight_kg\n172,95\n", b"172,95", b"\xff"]),
    "application/x-ndjson": st.sampled_from([b'[172, 95]\n{"height_cm": 1}\n', b"{", b"\n"]),
    "application/x-npy": st.sampled_from([_array(), _array()[:90], b"\x93NUMPY"]),
    "application/vnd.apache.arrow.stream": st.binary(max_size=200),
}.items():
    schemathesis.openapi.media_type(_name, _content | st.binary(max_size=50))


def config() -> schemathesis.Config:
    """Return schemathesis' configuration: all checks except those that can't hold."""
    rules: dict[str, Any] = {
        "checks": {
            # The service accepts more than the document says, such as a boolean as 0 or 1.
            "negative_data_rejection": {"enabled": False},
            # Without keys, admin routes respond with 403, never 401.
            "ignored_auth": {"enabled": False},
        },
        "operations": [
            # No schema can say that a tensor has the model's names and as many values as its shape,
            # or describe the content of a table or an array.
            {
                "include-path-regex": f"^/v2/|{ROWS}",
                "checks": {"positive_data_acceptance": {"enabled": False}},
            }
        ],
    }
    return schemathesis.Config.from_dict(rules)


def check_responses(
    operation: Any,
    mode: GenerationMode,
    examples: int | None = None,
    *,
    must_succeed: bool = False,
    may_fail: Callable[[str], bool] = lambda path: path.endswith("/ready"),
) -> None:
    """Send random requests to an operation, and check each response against the document.

    Args:
        operation: of schemathesis.
        mode: whether the requests are valid or invalid.
        examples: number of requests; None for the profile's number.
        must_succeed: whether to send JSON only and expect status 200.
        may_fail: returns whether a path may respond with a server error.
    """

    @settings(
        max_examples=examples or settings.default.max_examples,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if must_succeed:
            assume(case.media_type == JSON)
        # Flask's test client does not decompress responses.
        response = case.call_and_validate(headers={"Accept-Encoding": "identity"})
        assert response.status_code < 500 or may_fail(operation.path)
        if must_succeed:
            assert response.status_code == 200, response.text

    send()


def can_be_invalid(operation: Any) -> bool:
    """Return whether invalid requests exist; the names in paths are a fixed list."""
    return bool(operation.body or operation.headers or operation.query)
