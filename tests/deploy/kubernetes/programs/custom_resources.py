"""Reads objects of the Prometheus operator and of KServe by the classes that others made of their schemas.

python custom_resources.py OBJECTS    a file with a JSON list; it prints what is wrong with each

The classes pass over fields that they don't know. What they read is therefore written again: a field that
is missing then was a mistake, or one that its place doesn't have.
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
    """What is wrong with an object, each with the place where."""
    kind = sent["kind"]
    try:
        if kind in OPERATOR:
            read = OPERATOR[kind].model_validate(sent)
            known = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
            yield from lost(sent, known, kind)
        else:
            yield from misfits(sent, KSERVE[kind], kind)
    except ValidationError as error:
        yield from (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    except ValueError as error:
        yield str(error)


def misfits(sent: Any, kind: str, place: str) -> Iterator[str]:
    """Where something doesn't fit a type of KServe's, named as its classes name it."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        for index, value in enumerate(sent):
            yield from misfits(value, found[1], f"{place}[{index}]")
    elif found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        for name, value in sent.items():
            yield from misfits(value, found[1], f"{place}.{name}")
    elif own := getattr(kserve.models, kind, None):
        attributes = {field: attribute for attribute, field in own.attribute_map.items()}
        yield from (f"{place}.{name}: no such field" for name in set(sent) - set(attributes))
        given = {attributes[name]: sent[name] for name in sent if name in attributes}
        own(**given)  # raises where a field is missing
        for attribute, value in given.items():
            field = f"{place}.{own.attribute_map[attribute]}"
            yield from misfits(value, own.openapi_types[attribute], field)
    elif theirs := getattr(kubernetes.client.models, kind, None):
        read = theirs.from_dict(sent)
        yield from lost(sent, read.model_dump(mode="json", by_alias=True), place)
    elif kind != "object" and not isinstance(sent, PLAIN[kind]):
        yield f"{place}: {sent!r} is no {kind}"


def lost(sent: Any, known: Any, place: str) -> Iterator[str]:
    """Where something that was sent is missing from what was understood."""
    if isinstance(sent, dict) and isinstance(known, dict):
        for name, value in sent.items():
            if name in known:
                yield from lost(value, known[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: no such field"
    elif isinstance(sent, list) and isinstance(known, list) and len(sent) == len(known):
        for index, (one, other) in enumerate(zip(sent, known, strict=True)):
            yield from lost(one, other, f"{place}[{index}]")
    elif sent != known:
        yield f"{place}: {sent!r} was read as {known!r}"


if __name__ == "__main__":
    # What they say of their own dependencies is not under test.
    warnings.simplefilter("ignore")
    objects = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    found = {str(index): {"returned": list(problems(sent))} for index, sent in enumerate(objects)}
    sys.stdout.write(json.dumps(found))
