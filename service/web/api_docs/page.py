"""The page ``/docs`` for people: features, a form and a curl command for each model.

The page loads nothing from other servers. Names of models, features and classes are untrusted text: the
template escapes them, and the script writes them as text, never as markup.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from pigeonhole import __version__

from ...model import datetimes
from ...model.artifact import Model
from ...model.signature import Kind
from ...serving.live_models import LiveModels
from ..errors import JSON

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


def pages_blueprint(live: LiveModels) -> Blueprint:
    """Return the blueprint of ``/docs``, of ``/`` (a redirect to it) and of ``/version``."""
    blueprint = Blueprint(
        "pages",
        __name__,
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )

    @blueprint.get("/")
    def home() -> BaseResponse:
        # Browsers accept text/html. Programs such as KServe's client ask whether the server is alive.
        accepted = request.headers.get("Accept", "").lower()
        if "text/html" in accepted:
            return redirect("/docs")
        return Response(b'{"status":"alive"}', content_type=JSON)

    @blueprint.get("/version")
    def version() -> Response:
        return Response(__version__, content_type="text/plain; charset=utf-8")

    @blueprint.get("/docs")
    def docs() -> Response:
        newest = {name: state.newest for name, state in sorted(live.states.items())}
        default = live.default_model()
        page = render_template(
            "docs.html",
            models=[_facts(model) for model in newest.values() if model],
            not_ready=[name for name, model in newest.items() if model is None],
            default=default.name if default else None,
            host=shlex.quote(request.host_url.rstrip("/")),
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    return blueprint


def _facts(model: Model) -> dict[str, Any]:
    """Return the facts of a model that the page shows, as plain values."""
    example = model.golden_rows[0].row if model.golden_rows else {}
    features = [
        {
            "name": feature.name,
            "kind": feature.kind.value,
            "unit": feature.unit or "",
            "required": feature.required,
            "range": (
                None
                if feature.minimum is None or feature.maximum is None
                else (feature.format_value(feature.minimum), feature.format_value(feature.maximum))
            ),
            "categories": sorted(feature.categories, key=lambda c: -feature.categories[c]),
            "example": _text(example.get(feature.name)),
            "placeholder": (
                datetimes.example(feature.format) if feature.kind is Kind.DATETIME else ""
            ),
        }
        for feature in model.signature.features
    ]
    return {
        "name": model.name,
        "version": model.version,
        "classes": model.signature.classes,
        "threshold": model.signature.threshold,
        "features": features,
        "path": f"/v1/models/{model.name}:predict",
        "classify": f"/v1/models/{model.name}:classify",
        "infer": f"/v2/models/{model.name}/infer",
        # Quoted, so that text of a model file can't become a shell command.
        "body": shlex.quote(json.dumps({"instances": [example]}, ensure_ascii=False)),
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
