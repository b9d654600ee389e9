"""API keys on both handlers and on Flask alone: scopes, responses without a key, logs."""

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
    MAX_CACHED,
    OPEN,
    SCOPES_OF_VIEWS,
    Authenticator,
    scope_of,
)
from pigeonhole.service.web.handlers.flask_app import make_http_app
from pigeonhole.service.web.http.limits import LARGE_BODY_BYTES
from pigeonhole.service.web.http.messages import Request
from pigeonhole.service.web.http.parser import MAX_FEED_BYTES
from tests.service.web.handlers.handler_client import responses_of

ROW = b'{"instances": [[172, 95]]}'


@dataclass
class Keys:
    """A key file and its tokens by key name.

    Each scope has a key of its name. The key ``all`` has all scopes, ``app`` the first two.
    """

    path: Path
    tokens: dict[str, str]

    def bearer(self, name: str) -> str:
        return f"Bearer {self.tokens[name]}"

    def basic(self, name: str, user: bytes = b"user") -> str:
        return "Basic " + b64encode(user + b":" + self.tokens[name].encode()).decode()


def write_keys(path: Path) -> Keys:
    tokens, content = {}, ""
    for name, scopes in (*((s, [s]) for s in SCOPES), ("all", SCOPES), ("app", SCOPES[:2])):
        tokens[name], entry = new_key(name, scopes)
        content += entry
    path.write_text(content)
    return Keys(path, tokens)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return write_keys(tmp_path_factory.mktemp("keys") / "keys.toml")


@pytest.fixture(scope="module")
def authenticator(keys) -> Authenticator:
    return Authenticator(KeyFile(keys.path))


Send = Callable[..., Any]


@pytest.fixture(scope="module", params=[*HANDLERS, "flask app"])
def send(request, keys, tmp_path_factory: pytest.TempPathFactory, write_model) -> Iterator[Send]:
    """Send (method, path, authorization) to a service with keys: by a handler, or Flask alone."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    handler = "flask" if request.param == "flask app" else request.param
    service = Service(Settings(models=models, keys=str(keys.path), handler=handler))

    def by_handler(method: str, path: str, authorization: str | None = None) -> Any:
        headers = {"host": "x"}
        if authorization is not None:
            headers["authorization"] = authorization
        (response,) = responses_of(
            service.handler, Request(method, path, b"", headers, ROW, "1.1", "?")
        )
        return response

    def by_flask(method: str, path: str, authorization: str | None = None) -> Any:
        headers = {} if authorization is None else {"Authorization": authorization}
        client = service.flask.test_client()
        return client.open(path, method=method, headers=headers, data=ROW, buffered=True)

    yield by_flask if request.param == "flask app" else by_handler
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
def test_route_requires_its_scope(send: Send, keys, failed, method, path, scope) -> None:
    failed(send(method, path), 401, "unauthorized")
    failed(send(method, path, "Bearer pigeonhole_other"), 401, "unauthorized")
    for other in set(SCOPES) - {scope}:
        body = failed(send(method, path, keys.bearer(other)), 403, "forbidden")
        assert f"'{scope}'; the key '{other}' has the scopes {other}" in body["error"]
    for name in (scope, "all"):
        for authorization in (keys.bearer(name), keys.basic(name)):
            response = send(method, path, authorization)
            assert response.status_code in (200, 302, 400), response.data
    assert b'"code":"invalid_request"' in response.data or response.status_code != 400


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/healthz", "/readyz"])
def test_health_probes_need_no_key(send: Send, path) -> None:
    assert send("GET", path).status_code == 200
    assert send("GET", path, "Bearer nonsense").status_code == 200


def test_anonymous_client_sees_readiness_without_models(send: Send, keys) -> None:
    anonymous = {"ready": True, "live": True}
    assert json.loads(send("GET", "/health/ready").data) == anonymous
    assert json.loads(send("GET", "/health/ready", "Bearer nonsense").data) == anonymous
    known = json.loads(send("GET", "/health/ready", keys.bearer(METRICS)).data)
    assert known == {**anonymous, "models": {"bodymass": {"ready": True, "versions": ["1"]}}}


def test_anonymous_client_does_not_see_why_the_service_is_not_ready(
    start, keys, tmp_path, failed
) -> None:
    (tmp_path / "models" / "secret").mkdir(parents=True)
    client = start(keys=str(keys.path))
    body = failed(client.get("/health/ready"), 503, "not_ready")
    assert body["error"] == "not ready: send an API key to see the reasons"
    assert set(body) == {"ready", "live", "error", "code"}
    known = client.get("/health/ready", headers={"Authorization": keys.bearer(READ)})
    assert len(failed(known, 503, "not_ready")["problems"]) > 0


def test_style_and_script_need_no_key(send: Send) -> None:
    for file in ("docs.css", "docs.js"):
        assert send("GET", f"/static/{file}").status_code == 200


def test_anonymous_client_gets_the_same_response_for_every_path(send: Send, keys, failed) -> None:
    requests = [("GET", "/nowhere"), ("POST", "/health/live"), ("GET", "/predict")]
    requests += [("POST", "/v1/models/unknown:predict"), ("POST", "/v1/models/bodymass:predict")]
    bodies = {send(method, path).data for method, path in requests}
    assert len(bodies) == 1
    failed(send("GET", "/nowhere", keys.bearer(METRICS)), 404, "unknown_route")
    failed(send("GET", "/predict", keys.bearer(METRICS)), 405, "method_not_allowed")
    failed(send("POST", "/v1/models/unknown:predict", keys.bearer(PREDICT)), 404, "unknown_model")


def test_error_says_how_to_send_a_key(send: Send) -> None:
    response = send("GET", "/v1/models")
    body = json.loads(response.data)
    assert body["error"].startswith("the request has no key; send one as 'Authorization: ")
    body = json.loads(send("GET", "/v1/models", "Bearer x").data)
    assert body["error"].startswith("the key of the request is unknown; ")


HOSTILE = [
    *("", " ", "Bearer", "Bearer ", "Basic", "Basic ", "Digest x", "bearer\x00x", "=" * 100),
    *("Basic ====", "Basic !", "Basic eA", "Basic " + "QUJD" * 9000, "Bearer " + "x" * 30_000),
    *("Basic " + b64encode(b"no colon").decode(), "Basic " + b64encode(b"\xff:\xff").decode()),
    *("Bearer \xe9\xff", "Basic \xe9", "\xff\xfe", "Bearer a,Bearer b", "x" * 30_000),
]


@pytest.mark.parametrize("authorization", HOSTILE)
@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/v1/models")])
def test_hostile_header_is_an_unknown_key(send: Send, failed, method, path, authorization) -> None:
    failed(send(method, path, authorization), 401, "unauthorized")


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(SCOPES))
def test_random_header_is_an_unknown_key(authenticator, text, scope) -> None:
    for authorization in (text, f"Basic {text}", f"Bearer {text}"):
        with pytest.raises(KeyRequired):
            authenticator.authorize(authorization, scope)
    with pytest.raises(KeyRequired):
        authenticator.authorize("Basic " + b64encode(text.encode("latin-1")).decode(), scope)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
def test_scheme_is_case_insensitive(authenticator, keys, scheme) -> None:
    assert authenticator.authorize(scheme + keys.tokens[READ], READ) == READ


@pytest.mark.parametrize("user", [b"", b"user", "jos\xe9".encode(), b"\xff"])
def test_user_name_of_a_password_is_ignored(authenticator, keys, user) -> None:
    assert authenticator.authorize(keys.basic(READ, user), READ) == READ


def test_password_never_has_the_admin_scope(authenticator, keys) -> None:
    assert authenticator.authorize(keys.bearer("all"), ADMIN) == "all"
    assert authenticator.authorize(keys.basic("all"), METRICS) == "all"
    with pytest.raises(ScopeRequired, match="a password is not enough, send it as 'Auth"):
        authenticator.authorize(keys.basic("all"), ADMIN)
    with pytest.raises(ScopeRequired, match="the key 'app' has the scopes predict, read"):
        authenticator.authorize(keys.bearer("app"), ADMIN)


def test_without_key_file_only_admin_routes_are_closed() -> None:
    authenticator = Authenticator(None)
    assert not authenticator.has_keys
    for scope in (OPEN, ANY_KEY, PREDICT, READ, METRICS):
        assert (
            authenticator.authorize(None, scope) == authenticator.authorize("Bearer x", scope) == ""
        )
    with pytest.raises(ScopeRequired, match="the service has no keys: start it with --keys"):
        authenticator.authorize(None, ADMIN)


def test_removed_key_is_rejected_although_it_was_cached(tmp_path) -> None:
    keys = write_keys(tmp_path / "keys.toml")
    key_file = KeyFile(keys.path)
    authenticator = Authenticator(key_file)
    for authorization in (keys.bearer(READ), keys.basic(READ)):
        assert authenticator.authorize(authorization, READ) == READ
    text = keys.path.read_text()
    keys.path.write_text(text.replace(f"[{READ}]", "[other]"))
    key_file.refresh()
    assert authenticator.authorize(keys.bearer(READ), READ) == "other"
    keys.path.write_text(new_key("new", SCOPES)[1])
    key_file.refresh()
    for authorization in (keys.bearer(READ), keys.basic(READ)):
        with pytest.raises(KeyRequired):
            authenticator.authorize(authorization, READ)


LARGE = b"x" * (LARGE_BODY_BYTES + MAX_FEED_BYTES)

AS_LENGTH = b"Content-Length: 900000\r\n\r\n" + LARGE
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 900_000 + LARGE


@pytest.mark.parametrize("rest", [AS_LENGTH, IN_CHUNKS])
@pytest.mark.parametrize("authorization", [b"", b"Authorization: Bearer x\r\n"])
def test_large_body_without_valid_key_is_rejected_before_it_is_complete(
    tiny, authenticator, responses, rest, authorization
) -> None:
    tiny.server.is_authenticated = authenticator.is_authenticated
    (response,) = responses(
        tiny.exchange(b"POST /echo HTTP/1.1\r\nHost: h\r\n" + authorization + rest)
    )
    assert response.status == 401
    assert response.json["code"] == "unauthorized"
    assert response.closes
    assert tiny.handler.bodies == []


def test_large_body_with_any_valid_key_is_accepted(tiny, authenticator, keys, responses) -> None:
    tiny.server.is_authenticated = authenticator.is_authenticated
    key = f"Authorization: {keys.bearer(METRICS)}\r\n".encode()
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(LARGE)
    request = b"POST /echo HTTP/1.1\r\nHost: h\r\n" + key + length + LARGE
    (response,) = responses(tiny.exchange(request))
    assert response.status == 200
    assert tiny.handler.bodies == [LARGE]


def test_cache_is_bounded_and_holds_only_valid_headers(keys) -> None:
    authenticator = Authenticator(KeyFile(keys.path))
    for number in range(MAX_CACHED + 10):
        authenticator.authorize(keys.basic(READ, b"%d" % number), READ)
        assert len(authenticator._cache.identities) <= MAX_CACHED
    cached = len(authenticator._cache.identities)
    for number in range(10):
        with pytest.raises(KeyRequired):
            authenticator.authorize(f"Bearer {number}", READ)
    assert len(authenticator._cache.identities) == cached


def test_table_names_the_scope_of_every_view(lasting_client) -> None:
    for rule in lasting_client.application.url_map.iter_rules():
        blueprint = rule.endpoint.rpartition(".")[0]
        assert blueprint in SCOPES_OF_VIEWS, f"{rule.endpoint} is missing in the table"
    assert scope_of(None) == ANY_KEY
    assert scope_of("pages.static") == OPEN
    assert scope_of("open_inference_repository.unload") == ADMIN


def test_rejected_requests_are_counted_with_their_route(send: Send, keys) -> None:
    send("POST", "/v2/models/bodymass/infer")
    send("GET", "/v1/models", keys.bearer(METRICS))
    text = send("GET", "/metrics", keys.bearer(METRICS)).data.decode()
    for code, route in ((401, "infer"), (403, "models")):
        assert f'{{code="{code}",model="",route="{route}",version=""}}' in text


def test_admin_requests_are_logged_with_the_name_of_the_key(keys, caplog) -> None:
    caplog.set_level(logging.INFO)
    counters = SharedState(slots=1)
    counters.claim(0)
    blueprint = Blueprint("open_inference_repository", __name__)
    done = []
    blueprint.add_url_rule("/load", "load", lambda: done.append(1) or "", methods=["POST"])
    app = make_http_app(
        [blueprint],
        Metrics(counters.worker(0)),
        authenticator=Authenticator(KeyFile(keys.path)),
        max_body_bytes=9,
        request_log=None,
    )
    client = app.test_client()
    for authorization, status in (
        (keys.basic(ADMIN), 403),
        (keys.bearer("app"), 403),
        (keys.bearer(ADMIN), 200),
    ):
        response = client.post("/load", headers={"Authorization": authorization})
        assert response.status_code == status
    assert done == [1]
    logged = [(record.getMessage(), record.key, record.path) for record in caplog.records]
    assert logged == [
        ("admin request rejected", ADMIN, "/load"),
        ("admin request rejected", "app", "/load"),
        ("admin request", ADMIN, "/load"),
    ]
    assert caplog.records[-1].request_id == response.headers["X-Request-Id"]


@pytest.mark.parametrize("handler", HANDLERS)
def test_access_log_has_the_name_of_the_key_and_never_the_token(
    keys, models, capfd, handler
) -> None:
    settings = Settings(models=models, keys=str(keys.path), handler=handler, access_log=True)
    service = Service(settings)
    valid = [
        (method, path, authorization)
        for method, path in (("POST", "/predict"), ("GET", "/v1/models"), ("GET", "/x"))
        for authorization in (keys.bearer("app"), keys.basic("app"))
    ]
    damaged = keys.bearer("app")[:-1]
    for method, path, authorization in [*valid, ("POST", "/predict", damaged)]:
        headers = {"host": "x", "authorization": authorization}
        responses_of(service.handler, Request(method, path, b"", headers, ROW, "1.1", "?"))
    service.close()
    text = capfd.readouterr().err
    lines = [line for line in map(json.loads, text.splitlines()) if "status" in line]
    assert [line.get("key") for line in lines] == ["app"] * len(valid) + [None]
    assert [line["status"] for line in lines] == [200, 200, 200, 200, 404, 404, 401]
    assert keys.tokens["app"][:-1] not in text
    assert b64encode(keys.tokens["app"].encode())[:20].decode() not in text
