"""Check objects of the Prometheus operator and of KServe with classes generated from their schemas.

    python custom_resources.py OBJECTS

OBJECTS is a file with a JSON list; the program prints the problems of each object. The classes ignore
unknown fields, so the program writes each object again: a field that is then missing is unknown.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kserve.models
import kubernetes.client.models
from cloudcoil.models.prometheus_operator import v1 as operator
from pydantic import ValidationError

OPERATOR = {"ServiceMonitor": operator.ServiceMonitor, "PrometheusRule": operator.PrometheusRule}

KSERVE = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}

PLAIN: dict[str, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float)}


def problems(sent: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of an object, each with its location."""
    kind = sent["kind"]
    try:
        if kind in OPERATOR:
            read = OPERATOR[kind].model_validate(sent)
            known = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
            yield from unread(sent, known, kind)
        else:
            yield from mismatches(sent, KSERVE[kind], kind)
    except ValidationError as error:
        yield from (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    except ValueError as error:
        yield str(error)


def mismatches(sent: Any, kind: str, place: str) -> Iterator[str]:
    """Yield where a value does not match a type of KServe, which is named as in its classes."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        for index, value in enumerate(sent):
            yield from mismatches(value, found[1], f"{place}[{index}]")
    elif found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        for name, value in sent.items():
            yield from mismatches(value, found[1], f"{place}.{name}")
    elif own := getattr(kserve.models, kind, None):
        attributes = {field: attribute for attribute, field in own.attribute_map.items()}
        yield from (f"{place}.{name}: no such field" for name in set(sent) - set(attributes))
        given = {attributes[name]: sent[name] for name in sent if name in attributes}
        own(**given)  # raises ValueError if a field is missing
        for attribute, value in given.items():
            field = f"{place}.{own.attribute_map[attribute]}"
            yield from mismatches(value, own.openapi_types[attribute], field)
    elif theirs := getattr(kubernetes.client.models, kind, None):
        read = theirs.from_dict(sent)
        yield from unread(sent, read.model_dump(mode="json", by_alias=True), place)
    elif kind != "object" and not isinstance(sent, PLAIN[kind]):
        yield f"{place}: {sent!r} is not a {kind}"


def unread(sent: Any, known: Any, place: str) -> Iterator[str]:
    """Yield where a sent value is missing from the value that the class read."""
    if isinstance(sent, dict) and isinstance(known, dict):
        for name, value in sent.items():
            if name in known:
                yield from unread(value, known[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: no such field"
    elif isinstance(sent, list) and isinstance(known, list) and len(sent) == len(known):
        for index, (one, other) in enumerate(zip(sent, known, strict=True)):
            yield from unread(one, other, f"{place}[{index}]")
    elif sent != known:
        yield f"{place}: {sent!r} was read as {known!r}"


if __name__ == "__main__":
    # Deprecations inside these packages are not under test.
    warnings.simplefilter("ignore")
    objects = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    found = {str(index): {"returned": list(problems(sent))} for index, sent in enumerate(objects)}
    sys.stdout.write(json.dumps(found))
