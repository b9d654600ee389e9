"""``/docs`` escapes text of model files, loads nothing from other servers, and lists every model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from pigeonhole import __version__

HOSTILE = "<script>alert(1)</script>' $(id) `id` {{ 7*7 }}&amp;"


class Page(HTMLParser):
    """Tags with their attributes, and the text of code elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.code: list[str] = []
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_code = tag == "code"
        if self._in_code:
            self.code.append("")

    def handle_endtag(self, tag) -> None:
        self._in_code = False

    def handle_data(self, data) -> None:
        if self._in_code:
            self.code[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def hostile_page(start, tmp_path, write_model, write_mixed_model):
    """Return the page of models whose features, units and classes are markup."""
    features = [
        {"name": HOSTILE, "kind": "number", "unit": HOSTILE, "minimum": 1, "maximum": 2},
        {"name": "weight_kg", "kind": "number"},
    ]
    golden = {
        "row": {HOSTILE: 172, "weight_kg": 95},
        "label": "overweight",
        "probabilities": {"underweight": 0.0024726, "overweight": 0.9975274},
    }
    signature = {
        "features": features,
        "classes": ["underweight", "overweight"],
        "threshold": {"class": "overweight", "value": 0.5, "metric": HOSTILE},
    }
    metadata = {
        "signature": json.dumps(signature),
        "golden": json.dumps([golden]),
    }
    write_model(tmp_path / "models", "features", metadata=metadata)
    write_mixed_model(tmp_path / "models", "labels", classes=("no", HOSTILE))
    return start().get("/docs")


def test_markup_in_names_is_shown_as_text(hostile_page) -> None:
    page = Page(hostile_page.text)
    assert len(page.all("script")) == 1
    assert "<script>alert" not in hostile_page.text
    assert [field["data-feature"] for field in page.all("input")][:2] == [HOSTILE, "weight_kg"]
    assert hostile_page.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_curl_command_quotes_hostile_names(hostile_page) -> None:
    line, _ = [code for code in Page(hostile_page.text).code if code.startswith("curl ")]
    arguments = subprocess.run(
        ["bash", "-c", line.replace("curl ", "printf '%s\\0' ", 1)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    assert arguments[0].endswith("/v1/models/features:predict")
    assert arguments[1] == "-d"
    assert json.loads(arguments[2]) == {"instances": [{HOSTILE: 172, "weight_kg": 95}]}
    assert len(shlex.split(line)) == 4


def test_curl_command_gets_a_prediction(lasting_client, dated_client) -> None:
    for client in (lasting_client, dated_client):
        lines = [code for code in Page(client.get("/docs").text).code if code.startswith("curl ")]
        assert len(lines) == 2
        for line in lines:
            _, url, _, body = shlex.split(line)
            assert client.post(urlsplit(url).path, data=body).status_code == 200


def test_page_refers_to_its_own_server_only(lasting_client) -> None:
    response = lasting_client.get("/docs")
    page = Page(response.text)
    references = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("href", "src", "action", "data-path", "srcset") and value
    ]
    assert {"/static/docs.css", "/static/docs.js", "/openapi.json"} <= set(references)
    for reference in references:
        assert reference == "data:," or re.match(r"/(?!/)", reference), reference
        if reference.startswith("/static/"):
            text = lasting_client.get(reference, buffered=True).text
            assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("// ", ""))
    assert not [a for _, a in page.tags if any(n.startswith("on") or n == "style" for n in a)]
    assert all(script["src"] for script in page.all("script"))


def test_content_security_policy_allows_own_content_only(lasting_client) -> None:
    policy = lasting_client.get("/docs").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_page_shows_every_feature_with_its_training_range(lasting_client) -> None:
    text = re.sub(r"<[^>]*>|\s+", " ", lasting_client.get("/docs").text)
    text = re.sub(r"\s+", " ", text)
    for shown in (
        "bodymass version 1",
        "/predict and /invocations use this model.",
        "140 to 200 cm",
        "age number, optional 0 to 90",
        "color category red, blue",
    ):
        assert shown in text


def test_datetime_field_has_an_example_and_a_range(dated_client) -> None:
    response = dated_client.get("/docs")
    fields = {f["data-feature"]: f for f in Page(response.text).all("input")}
    assert fields["seen"]["placeholder"] == "2024-05-01T13:45"
    assert fields["seen"]["value"] == "2024-04-03"
    assert fields["paid"]["placeholder"] == "31/12/2024 13:45"
    assert fields["opens"]["placeholder"] == "13:45"
    assert "placeholder" not in fields["size"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.text))
    assert "seen datetime 2024-01-01 to 2024-06-30" in text
    assert "opens datetime, optional 08:00 to 12:00" in text


def test_page_shows_a_threshold_for_its_model_only(dated_client, lasting_client) -> None:
    sentence = "The label is <b>overweight</b> if its probability is at least 0.9 (chosen for f1)."
    assert dated_client.get("/docs").text.count(sentence) == 1
    assert "The label is <b>" not in lasting_client.get("/docs").text


def test_every_field_has_its_own_label(lasting_client) -> None:
    page = Page(lasting_client.get("/docs").text)
    ids = [field["id"] for field in page.all("input")]
    assert len(ids) == len(set(ids)) == 7
    assert {label["for"] for label in page.all("label")} == set(ids)


def test_feature_names_cannot_hide_properties_of_the_form(lasting_client) -> None:
    # An input with the name or id "elements" would hide form.elements.
    for field in Page(lasting_client.get("/docs").text).all("input"):
        assert "name" not in field
        assert field["id"].startswith("field-")


def test_page_names_a_model_that_is_not_ready(start, models, write_model) -> None:
    write_model(models, "damaged", digest="0" * 64)
    assert "<b>damaged</b> has no live version" in start(models=models).get("/docs").text


def test_page_without_models_says_so(start) -> None:
    assert "No model is ready" in start().get("/docs").text


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_front_page_redirects_browsers_to_the_docs_on_any_host(
    lasting_client,
) -> None:
    headers = {"Host": "elsewhere.example", "Accept": BROWSER}
    response = lasting_client.get("/", headers=headers)
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
def test_front_page_reports_to_programs_that_the_service_is_alive(lasting_client, accept) -> None:
    response = lasting_client.get("/", headers={"Accept": accept} if accept else {})
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == {"status": "alive"}


def test_version_is_plain_text(lasting_client) -> None:
    response = lasting_client.get("/version")
    assert (response.text, response.content_type) == (__version__, "text/plain; charset=utf-8")


def test_page_lists_the_paths_of_every_protocol(lasting_client) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", lasting_client.get("/docs").text))
    for path in ("/v1/models/mixed:predict", "/v1/models/mixed:classify", "/v2/models/mixed/infer"):
        assert path in text
    assert text.count("/invocations") == 1  # for the default model


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/pages.py", "/etc/passwd", "..%2fpages.py"])
def test_files_outside_the_static_folder_are_not_served(lasting_client, failed, path: str) -> None:
    failed(lasting_client.get(f"/static/{path}"), 404, "unknown_route")
