"""``/openapi.json`` of running servers: what schemathesis makes of it is answered as it says."""

from __future__ import annotations

from contextlib import suppress

import pytest
import schemathesis
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.running_service import RunningService
from tests.service.web.generated_requests import ask, config

pytestmark = pytest.mark.slow

OTHERS = "/(animals|dated|everything|single)"
"""Models beside those that are asked here; they differ in their features only."""


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_operation_answers_as_the_document_says(
    server: RunningService, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_url(f"{server.address}/openapi.json", config=config())
    asked = 0
    for result in described.exclude(path_regex=OTHERS).get_all_operations():
        with suppress(Unsatisfiable):  # where nothing is sent, nothing can be wrong with it
            ask(result.ok(), mode, 5)
        asked += 1
    assert asked > 30
