"""``/metrics``: formats and samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = (
    "application/openmetrics-text;version=1.0.0;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""The Accept header of Prometheus."""


def samples(families) -> dict[str, float]:
    """Return every sample by its name and labels."""
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain;version=0.0.4"])
def test_scraper_gets_prometheus_text_by_default(lasting_client, accept: str) -> None:
    response = lasting_client.get("/metrics", headers={"Accept": accept})
    assert response.headers["Content-Type"] == PROMETHEUS
    names = {family.name for family in read_prometheus(response.text)}
    assert {"pigeonhole_requests", "pigeonhole_build_info", "pigeonhole_model_live"} <= names


def test_scraper_that_accepts_openmetrics_gets_it(lasting_client) -> None:
    response = lasting_client.get("/metrics", headers={"Accept": OPENMETRICS})
    kind = response.headers["Content-Type"]
    assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert response.text.endswith("# EOF\n")
    assert "pigeonhole_build_info[('version', '0.1.0')]" in samples(read_openmetrics(response.text))


def test_both_formats_have_the_same_samples(client) -> None:
    client.post("/predict", json={"instances": [[172, 95], [1, 95]]})
    openmetrics = samples(
        read_openmetrics(client.get("/metrics", headers={"Accept": OPENMETRICS}).text)
    )
    prometheus = samples(read_prometheus(client.get("/metrics").text))
    # These differ between two scrapes.
    changing = ("('route', 'metrics')", "process_", "_filesystem_")
    own = {name for name in prometheus if any(part in name for part in changing)}
    assert {"process_cpu_seconds_total[]", "process_open_fds[]"} < own
    assert {n: v for n, v in prometheus.items() if n not in own} == {
        n: v for n, v in openmetrics.items() if n not in own
    }
    labels = "('model', 'bodymass'), ('version', '1')"
    assert prometheus[f"pigeonhole_rows_total[{labels}]"] == 2
    out_of_range = f"[('feature', 'height_cm'), {labels}]"
    assert prometheus[f"pigeonhole_unusual_values_total{out_of_range}"] == 1
    assert prometheus["pigeonhole_requests_in_flight[]"] == 0


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=x.y",
        "text/plain; version=1..",
        "text/plain;version=\u00b2",
        "application/openmetrics-text;version=1.0.0;escaping=nonsense",
    ],
)
def test_invalid_accept_header_gets_metrics(lasting_client, accept) -> None:
    assert lasting_client.get("/metrics", headers={"Accept": accept}).status_code == 200


@given(
    st.lists(
        st.sampled_from(
            [
                *("application/openmetrics-text", "text/plain", "*/*", ";", ",", "=", " ", "q"),
                *("version", "escaping", "allow-utf-8", "underscores", "1.0.0", "0", "x", "."),
            ]
        )
    ).map("".join)
)
def test_random_accept_header_gets_metrics(lasting_client, accept: str) -> None:
    response = lasting_client.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(
        ("text/plain", "application/openmetrics-text")
    )
