"""``/openapi.json`` of a running service: generated requests are answered as it says."""

from __future__ import annotations

import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.running_service import RunningService
from tests.service.web.generated_requests import can_be_invalid, check_responses, config

OTHERS = "/(animals|dated|everything|single)"
"""Models that this test leaves out: only their features differ."""

EXAMPLES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
"""Few, because tests/service/web/api_docs/test_openapi.py sends more, without a server."""


@pytest.mark.slow
def test_every_operation_answers_as_the_document_says(server: RunningService) -> None:
    document = schemathesis.openapi.from_url(f"{server.address}/openapi.json", config=config())
    operations = 0
    for result in document.exclude(path_regex=OTHERS).get_all_operations():
        operation = result.ok()
        check_responses(operation, GenerationMode.POSITIVE, EXAMPLES[GenerationMode.POSITIVE])
        if can_be_invalid(operation):
            check_responses(operation, GenerationMode.NEGATIVE, EXAMPLES[GenerationMode.NEGATIVE])
        operations += 1
    assert operations > 30
