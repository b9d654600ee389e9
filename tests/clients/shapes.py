"""The Open Inference Protocol's published shapes of answers, as JSON schemas of our own wording.

The facts - which keys there are, of what types, which are required - are those of the data plane's
OpenAPI document that MLServer publishes, and of the extensions that Triton documents. Where the
document leaves an object open, further keys are fine here too.
"""

from __future__ import annotations

from typing import Any

DATATYPES = [
    "BOOL",
    *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)),
    *(f"FP{bits}" for bits in (16, 32, 64)),
    "BYTES",
]

TEXT = {"type": "string"}

WHOLE = {"type": "integer", "minimum": 0}


def of(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these keys, and whatever else."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties}


def many(items: dict[str, Any]) -> dict[str, Any]:
    """A list."""
    return {"type": "array", "items": items}


TENSOR = {"name": TEXT, "datatype": {"enum": DATATYPES}, "shape": many({"type": "integer"})}

PARAMETERS = {"type": "object"}

LIVE = of({"live": {"type": "boolean"}})

READY = of({"ready": {"type": "boolean"}})

MODEL_READY = of({"name": TEXT, "ready": {"type": "boolean"}})

SERVER = of({"name": TEXT, "version": TEXT, "extensions": many(TEXT)})

MODEL = of(
    {"name": TEXT, "platform": TEXT},
    {
        "versions": many(TEXT),
        "inputs": many(of(TENSOR, {"parameters": PARAMETERS})),
        "outputs": many(of(TENSOR, {"parameters": PARAMETERS})),
        "parameters": PARAMETERS,
        "properties": {"type": "object", "additionalProperties": TEXT},
    },
)

INFERENCE = of(
    {
        "model_name": TEXT,
        "outputs": many(of(TENSOR | {"data": {"type": "array"}}, {"parameters": PARAMETERS})),
    },
    {"model_version": TEXT, "id": TEXT, "parameters": PARAMETERS},
)

ERROR = of({"error": TEXT})

INDEX = many(
    of(
        {"name": TEXT},
        {
            "version": TEXT,
            "state": {"enum": ["READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN"]},
            "reason": TEXT,
        },
    )
)

DURATION = of({"count": WHOLE, "ns": WHOLE})

STATISTICS = of(
    {
        "model_stats": many(
            of(
                {
                    "name": TEXT,
                    "version": TEXT,
                    "last_inference": WHOLE,
                    "inference_count": WHOLE,
                    "execution_count": WHOLE,
                    "inference_stats": of(
                        dict.fromkeys(
                            (
                                "success",
                                "fail",
                                "queue",
                                "compute_input",
                                "compute_infer",
                                "compute_output",
                            ),
                            DURATION,
                        )
                    ),
                    "batch_stats": {"type": "array"},
                }
            )
        )
    }
)

CONFIG_TENSOR = of(
    {"name": TEXT, "data_type": {"type": "string", "pattern": "^TYPE_"}, "dims": {"type": "array"}}
)

CONFIG = of(
    {"name": TEXT, "platform": TEXT, "input": many(CONFIG_TENSOR), "output": many(CONFIG_TENSOR)}
)
