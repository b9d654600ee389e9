"""/docs: what somebody else wrote into a model file stays text, and nothing comes from outside."""

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
    """Tags with their attributes, and the text of the curl lines."""

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
    """The page of models whose features, units and classes are markup."""
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


def test_names_with_markup_are_shown_as_text(hostile_page) -> None:
    page = Page(hostile_page.text)
    assert len(page.all("script")) == 1
    assert "<script>alert" not in hostile_page.text
    assert [field["data-feature"] for field in page.all("input")][:2] == [HOSTILE, "weight_kg"]
    assert hostile_page.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_the_line_for_curl_is_one_command_whatever_stands_in_a_model(hostile_page) -> None:
    line, _ = [code for code in Page(hostile_page.text).code if code.startswith("curl ")]
    # A shell reads the very words that Python meant.
    said = subprocess.run(
        ["bash", "-c", line.replace("curl ", "printf '%s\\0' ", 1)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    assert said[0].endswith("/v1/models/features:predict")
    assert said[1] == "-d"
    assert json.loads(said[2]) == {"instances": [{HOSTILE: 172, "weight_kg": 95}]}
    assert len(shlex.split(line)) == 4


def test_the_line_for_curl_is_a_request_that_is_answered(lasting_client, dated_client) -> None:
    for client in (lasting_client, dated_client):
        lines = [code for code in Page(client.get("/docs").text).code if code.startswith("curl ")]
        assert len(lines) == 2
        for line in lines:
            _, url, _, body = shlex.split(line)
            assert client.post(urlsplit(url).path, data=body).status_code == 200


def test_the_page_has_no_references_to_the_outside(lasting_client) -> None:
    answer = lasting_client.get("/docs")
    page = Page(answer.text)
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


def test_the_policy_of_the_page_lets_nothing_else_in(lasting_client) -> None:
    policy = lasting_client.get("/docs").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_shows_every_feature_with_what_training_saw(lasting_client) -> None:
    text = re.sub(r"<[^>]*>|\s+", " ", lasting_client.get("/docs").text)
    text = re.sub(r"\s+", " ", text)
    for said in (
        "bodymass version 1",
        "/predict and /invocations use this model.",
        "140 to 200 cm",
        "age number, optional 0 to 90",
        "color category red, blue",
    ):
        assert said in text


def test_a_datetime_has_a_field_with_an_example_and_its_range(dated_client) -> None:
    answer = dated_client.get("/docs")
    fields = {f["data-feature"]: f for f in Page(answer.text).all("input")}
    assert fields["seen"]["placeholder"] == "2024-05-01T13:45"
    assert fields["seen"]["value"] == "2024-04-03"
    assert fields["paid"]["placeholder"] == "31/12/2024 13:45"
    assert fields["opens"]["placeholder"] == "13:45"
    assert "placeholder" not in fields["size"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))
    assert "seen datetime 2024-01-01 to 2024-06-30" in text
    assert "opens datetime, optional 08:00 to 12:00" in text


def test_a_threshold_is_said_where_there_is_one(dated_client, lasting_client) -> None:
    said = "The label is <b>overweight</b> if its probability is at least 0.9 (chosen for f1)."
    assert dated_client.get("/docs").text.count(said) == 1
    assert "The label is <b>" not in lasting_client.get("/docs").text


def test_every_field_has_a_label_of_its_own(lasting_client) -> None:
    page = Page(lasting_client.get("/docs").text)
    ids = [field["id"] for field in page.all("input")]
    assert len(ids) == len(set(ids)) == 7
    assert {label["for"] for label in page.all("label")} == set(ids)


def test_no_feature_can_stand_in_the_place_of_the_forms_own(lasting_client) -> None:
    # form.elements is an input where an input has that name or id.
    for field in Page(lasting_client.get("/docs").text).all("input"):
        assert "name" not in field
        assert field["id"].startswith("field-")


def test_a_model_that_is_not_ready_is_named(start, models, write_model) -> None:
    write_model(models, "damaged", digest="0" * 64)
    assert "<b>damaged</b> has no live version" in start(models=models).get("/docs").text


def test_without_a_model_the_page_says_where_to_look(start) -> None:
    assert "No model is ready" in start().get("/docs").text


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_the_front_page_leads_browsers_to_the_docs_whatever_the_host_is_called(
    lasting_client,
) -> None:
    headers = {"Host": "elsewhere.example", "Accept": BROWSER}
    answer = lasting_client.get("/", headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
def test_the_front_page_tells_programs_that_the_service_is_alive(lasting_client, accept) -> None:
    answer = lasting_client.get("/", headers={"Accept": accept} if accept else {})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"status": "alive"}


def test_the_version_is_told_as_text(lasting_client) -> None:
    answer = lasting_client.get("/version")
    assert (answer.text, answer.content_type) == (__version__, "text/plain; charset=utf-8")


def test_the_page_names_the_addresses_of_every_protocol(lasting_client) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", lasting_client.get("/docs").text))
    for path in ("/v1/models/mixed:predict", "/v1/models/mixed:classify", "/v2/models/mixed/infer"):
        assert path in text
    assert text.count("/invocations") == 1  # of the default model alone


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/pages.py", "/etc/passwd", "..%2fpages.py"])
def test_no_file_outside_its_folder_is_served(lasting_client, failed, path: str) -> None:
    failed(lasting_client.get(f"/static/{path}"), 404, "unknown_route")
