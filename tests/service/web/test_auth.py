"""Keys through both doors and through Flask alone: who gets in where, and what is said to whom."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.api_keys import ADMIN, METRICS, PREDICT, READ, SCOPES, KeyFile, new_key
from pigeonhole.service.app import Service
from pigeonhole.service.errors import KeyRequired, ScopeRequired
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.shared_state import SharedState
from pigeonhole.service.settings import HANDLERS, Settings
from pigeonhole.service.web.auth import (
    ANY_KEY,
    MAX_REMEMBERED,
    OPEN,
    SCOPES_OF_VIEWS,
    Authenticator,
    scope_of,
)
from pigeonhole.service.web.handlers.flask_app import make_http_app
from pigeonhole.service.web.http.connection import COUNTED_BYTES, PIECE_BYTES
from pigeonhole.service.web.http.messages import Request
from tests.service.web.handlers.asking_handlers import answers as answers_of

ROW = b'{"instances": [[172, 95]]}'


@dataclass
class Holders:
    """A key file, with a key for each scope called by it, one for all and one for the first two."""

    path: Path
    tokens: dict[str, str]

    def bearer(self, name: str) -> str:
        return f"Bearer {self.tokens[name]}"

    def basic(self, name: str, user: bytes = b"somebody") -> str:
        return "Basic " + b64encode(user + b":" + self.tokens[name].encode()).decode()


def write_holders(path: Path) -> Holders:
    tokens, content = {}, ""
    for name, scopes in (*((s, [s]) for s in SCOPES), ("all", SCOPES), ("app", SCOPES[:2])):
        tokens[name], entry = new_key(name, scopes)
        content += entry
    path.write_text(content)
    return Holders(path, tokens)


@pytest.fixture(scope="module")
def holders(tmp_path_factory: pytest.TempPathFactory) -> Holders:
    return write_holders(tmp_path_factory.mktemp("keys") / "keys.toml")


@pytest.fixture(scope="module")
def authenticator(holders) -> Authenticator:
    return Authenticator(KeyFile(holders.path))


Ask = Callable[..., Any]


@pytest.fixture(scope="module", params=[*HANDLERS, "alone"])
def ask(request, holders, tmp_path_factory: pytest.TempPathFactory, write_model) -> Iterator[Ask]:
    """Asks a service with keys, through a door or Flask alone: (method, path, authorization)."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    handler = "flask" if request.param == "alone" else request.param
    service = Service(Settings(models=models, keys=str(holders.path), handler=handler))

    def through_door(method: str, path: str, authorization: str | None = None) -> Any:
        headers = {"host": "door"}
        if authorization is not None:
            headers["authorization"] = authorization
        (answer,) = answers_of(
            service.handler, Request(method, path, b"", headers, ROW, "1.1", "?")
        )
        return answer

    def through_flask(method: str, path: str, authorization: str | None = None) -> Any:
        headers = {} if authorization is None else {"Authorization": authorization}
        client = service.flask.test_client()
        return client.open(path, method=method, headers=headers, data=ROW, buffered=True)

    yield through_flask if request.param == "alone" else through_door
    service.close()


ROUTES = [
    ("POST", "/predict", PREDICT),
    ("POST", "/v1/models/bodymass:predict", PREDICT),
    ("POST", "/v1/models/bodymass/versions/1:predict", PREDICT),
    ("POST", "/v2/models/bodymass/infer", PREDICT),
    ("GET", "/v1/models", READ),
    ("GET", "/v1/models/bodymass", READ),
    ("GET", "/docs", READ),
    ("GET", "/v2/models/bodymass", READ),
    ("GET", "/openapi.json", READ),
    ("GET", "/metrics", METRICS),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_opens_to_its_scope_and_to_no_other(
    ask: Ask, holders, failed, method, path, scope
) -> None:
    failed(ask(method, path), 401, "unauthorized")
    failed(ask(method, path, "Bearer pigeonhole_other"), 401, "unauthorized")
    for other in set(SCOPES) - {scope}:
        body = failed(ask(method, path, holders.bearer(other)), 403, "forbidden")
        assert f"'{scope}'; the key '{other}' is for {other}" in body["error"]
    for name in (scope, "all"):
        for authorization in (holders.bearer(name), holders.basic(name)):
            answer = ask(method, path, authorization)
            assert answer.status_code in (200, 302, 400), answer.data
    assert b'"code":"invalid_request"' in answer.data or answer.status_code != 400


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/healthz", "/readyz"])
def test_probes_need_no_key(ask: Ask, path) -> None:
    assert ask("GET", path).status_code == 200
    assert ask("GET", path, "Bearer nonsense").status_code == 200


def test_strangers_learn_from_readiness_whether_and_not_what(ask: Ask, holders) -> None:
    told = {"ready": True, "live": True}
    assert json.loads(ask("GET", "/health/ready").data) == told
    assert json.loads(ask("GET", "/health/ready", "Bearer nonsense").data) == told
    known = json.loads(ask("GET", "/health/ready", holders.bearer(METRICS)).data)
    assert known == {**told, "models": {"bodymass": {"ready": True, "versions": ["1"]}}}


def test_strangers_are_not_told_why_it_is_not_ready(start, holders, tmp_path, failed) -> None:
    (tmp_path / "models" / "secret").mkdir(parents=True)
    client = start(keys=str(holders.path))
    body = failed(client.get("/health/ready"), 503, "not_ready")
    assert body["error"] == "not ready: send an API key to see the reasons"
    assert set(body) == {"ready", "live", "error", "code"}
    known = client.get("/health/ready", headers={"Authorization": holders.bearer(READ)})
    assert len(failed(known, 503, "not_ready")["problems"]) > 0


def test_style_and_script_need_no_key(ask: Ask) -> None:
    for file in ("docs.css", "docs.js"):
        assert ask("GET", f"/static/{file}").status_code == 200


def test_without_a_key_nobody_learns_what_there_is(ask: Ask, holders, failed) -> None:
    asked = [("GET", "/nowhere"), ("POST", "/health/live"), ("GET", "/predict")]
    asked += [("POST", "/v1/models/nobody:predict"), ("POST", "/v1/models/bodymass:predict")]
    told = {ask(method, path).data for method, path in asked}
    assert len(told) == 1
    failed(ask("GET", "/nowhere", holders.bearer(METRICS)), 404, "unknown_route")
    failed(ask("GET", "/predict", holders.bearer(METRICS)), 405, "method_not_allowed")
    failed(ask("POST", "/v1/models/nobody:predict", holders.bearer(PREDICT)), 404, "unknown_model")


def test_whoever_has_no_key_is_told_how_to_send_one(ask: Ask) -> None:
    answer = ask("GET", "/v1/models")
    body = json.loads(answer.data)
    assert body["error"].startswith("the request has no key; send one as 'Authorization: ")
    body = json.loads(ask("GET", "/v1/models", "Bearer x").data)
    assert body["error"].startswith("the key of the request is unknown; ")


HOSTILE = [
    *("", " ", "Bearer", "Bearer ", "Basic", "Basic ", "Digest x", "bearer\x00x", "=" * 100),
    *("Basic ====", "Basic !", "Basic eA", "Basic " + "QUJD" * 9000, "Bearer " + "x" * 30_000),
    *("Basic " + b64encode(b"no colon").decode(), "Basic " + b64encode(b"\xff:\xff").decode()),
    *("Bearer \xe9\xff", "Basic \xe9", "\xff\xfe", "Bearer a,Bearer b", "x" * 30_000),
]


@pytest.mark.parametrize("authorization", HOSTILE)
@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/v1/models")])
def test_no_header_is_more_than_unknown(ask: Ask, failed, method, path, authorization) -> None:
    failed(ask(method, path, authorization), 401, "unauthorized")


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(SCOPES))
def test_no_header_surprises_the_guard(authenticator, text, scope) -> None:
    for authorization in (text, f"Basic {text}", f"Bearer {text}"):
        with pytest.raises(KeyRequired):
            authenticator.authorize(authorization, scope)
    with pytest.raises(KeyRequired):
        authenticator.authorize("Basic " + b64encode(text.encode("latin-1")).decode(), scope)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
def test_a_scheme_may_be_written_in_any_case(authenticator, holders, scheme) -> None:
    assert authenticator.authorize(scheme + holders.tokens[READ], READ) == READ


@pytest.mark.parametrize("user", [b"", b"somebody", "jos\xe9".encode(), b"\xff"])
def test_a_password_counts_whoever_the_user_is(authenticator, holders, user) -> None:
    assert authenticator.authorize(holders.basic(READ, user), READ) == READ


def test_a_password_is_never_an_admin(authenticator, holders) -> None:
    assert authenticator.authorize(holders.bearer("all"), ADMIN) == "all"
    assert authenticator.authorize(holders.basic("all"), METRICS) == "all"
    with pytest.raises(ScopeRequired, match="a password is not enough, send it as 'Auth"):
        authenticator.authorize(holders.basic("all"), ADMIN)
    with pytest.raises(ScopeRequired, match="the key 'app' has the scopes predict, read"):
        authenticator.authorize(holders.bearer("app"), ADMIN)


def test_without_a_key_file_all_is_open_but_what_an_admin_does() -> None:
    authenticator = Authenticator(None)
    assert not authenticator.has_keys
    for scope in (OPEN, ANY_KEY, PREDICT, READ, METRICS):
        assert (
            authenticator.authorize(None, scope) == authenticator.authorize("Bearer x", scope) == ""
        )
    with pytest.raises(ScopeRequired, match="start the service with --keys"):
        authenticator.authorize(None, ADMIN)


def test_a_key_that_is_taken_out_opens_nothing_though_it_was_remembered(tmp_path) -> None:
    holders = write_holders(tmp_path / "keys.toml")
    keys = KeyFile(holders.path)
    authenticator = Authenticator(keys)
    for authorization in (holders.bearer(READ), holders.basic(READ)):
        assert authenticator.authorize(authorization, READ) == READ
    text = holders.path.read_text()
    holders.path.write_text(text.replace(f"[{READ}]", "[other]"))
    keys.refresh()
    assert authenticator.authorize(holders.bearer(READ), READ) == "other"
    holders.path.write_text(new_key("new", SCOPES)[1])
    keys.refresh()
    for authorization in (holders.bearer(READ), holders.basic(READ)):
        with pytest.raises(KeyRequired):
            authenticator.authorize(authorization, READ)


LARGE = b"x" * (COUNTED_BYTES + PIECE_BYTES)

AS_LENGTH = b"Content-Length: 900000\r\n\r\n" + LARGE
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 900_000 + LARGE


@pytest.mark.parametrize("rest", [AS_LENGTH, IN_CHUNKS])
@pytest.mark.parametrize("authorization", [b"", b"Authorization: Bearer x\r\n"])
def test_a_large_body_of_a_stranger_is_refused_before_it_is_there(
    tiny, authenticator, answers, rest, authorization
) -> None:
    tiny.server.is_authenticated = authenticator.is_authenticated
    (answer,) = answers(tiny.ask(b"POST /echo HTTP/1.1\r\nHost: h\r\n" + authorization + rest))
    assert answer.status == 401
    assert answer.json["code"] == "unauthorized"
    assert answer.closes
    assert tiny.handler.bodies == []


def test_a_large_body_with_any_known_key_is_read(tiny, authenticator, holders, answers) -> None:
    tiny.server.is_authenticated = authenticator.is_authenticated
    key = f"Authorization: {holders.bearer(METRICS)}\r\n".encode()
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(LARGE)
    asked = b"POST /echo HTTP/1.1\r\nHost: h\r\n" + key + length + LARGE
    (answer,) = answers(tiny.ask(asked))
    assert answer.status == 200
    assert tiny.handler.bodies == [LARGE]


def test_only_so_many_headers_are_remembered_and_none_without_a_key(holders) -> None:
    authenticator = Authenticator(KeyFile(holders.path))
    for number in range(MAX_REMEMBERED + 10):
        authenticator.authorize(holders.basic(READ, b"%d" % number), READ)
        assert len(authenticator._remembered.holders) <= MAX_REMEMBERED
    known = len(authenticator._remembered.holders)
    for number in range(10):
        with pytest.raises(KeyRequired):
            authenticator.authorize(f"Bearer {number}", READ)
    assert len(authenticator._remembered.holders) == known


def test_every_view_has_a_scope_of_its_own_choice(lasting_client) -> None:
    for rule in lasting_client.application.url_map.iter_rules():
        blueprint = rule.endpoint.rpartition(".")[0]
        assert blueprint in SCOPES_OF_VIEWS, f"{rule.endpoint} stands in no line of the table"
    assert scope_of(None) == ANY_KEY
    assert scope_of("pages.static") == OPEN
    assert scope_of("open_inference_repository.unload") == ADMIN


def test_refusals_are_counted_with_their_route(ask: Ask, holders) -> None:
    ask("POST", "/v2/models/bodymass/infer")
    ask("GET", "/v1/models", holders.bearer(METRICS))
    text = ask("GET", "/metrics", holders.bearer(METRICS)).data.decode()
    for code, route in ((401, "infer"), (403, "models")):
        assert f'{{code="{code}",model="",route="{route}",version=""}}' in text


def test_what_an_admin_does_is_logged_with_the_name_of_the_key(holders, caplog) -> None:
    caplog.set_level(logging.INFO)
    counters = SharedState(slots=1)
    counters.claim(0)
    blueprint = Blueprint("open_inference_repository", __name__)
    done = []
    blueprint.add_url_rule("/load", "load", lambda: done.append(1) or "", methods=["POST"])
    app = make_http_app(
        [blueprint],
        Metrics(counters.worker(0)),
        authenticator=Authenticator(KeyFile(holders.path)),
        max_body_bytes=9,
        request_log=None,
    )
    client = app.test_client()
    for authorization, status in (
        (holders.basic(ADMIN), 403),
        (holders.bearer("app"), 403),
        (holders.bearer(ADMIN), 200),
    ):
        answer = client.post("/load", headers={"Authorization": authorization})
        assert answer.status_code == status
    assert done == [1]
    said = [(record.getMessage(), record.key, record.path) for record in caplog.records]
    assert said == [
        ("no admin asks", ADMIN, "/load"),
        ("no admin asks", "app", "/load"),
        ("an admin asks", ADMIN, "/load"),
    ]
    assert caplog.records[-1].request_id == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("handler", HANDLERS)
def test_the_access_log_has_the_name_of_the_key_and_no_log_the_token(
    holders, models, capfd, handler
) -> None:
    settings = Settings(models=models, keys=str(holders.path), handler=handler, access_log=True)
    service = Service(settings)
    asked = [
        (method, path, authorization)
        for method, path in (("POST", "/predict"), ("GET", "/v1/models"), ("GET", "/x"))
        for authorization in (holders.bearer("app"), holders.basic("app"))
    ]
    spoiled = holders.bearer("app")[:-1]
    for method, path, authorization in [*asked, ("POST", "/predict", spoiled)]:
        headers = {"host": "door", "authorization": authorization}
        answers_of(service.handler, Request(method, path, b"", headers, ROW, "1.1", "?"))
    service.close()
    text = capfd.readouterr().err
    lines = [line for line in map(json.loads, text.splitlines()) if "status" in line]
    assert [line.get("key") for line in lines] == ["app"] * len(asked) + [None]
    assert [line["status"] for line in lines] == [200, 200, 200, 200, 404, 404, 401]
    assert holders.tokens["app"][:-1] not in text
    assert b64encode(holders.tokens["app"].encode())[:20].decode() not in text
