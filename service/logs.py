"""Structured logs: one JSON line each on stderr, the servers' own lines included."""

from __future__ import annotations

from typing import Any


def logging_table(level: str) -> dict[str, Any]:
    """What ``logging.config.dictConfig`` and gunicorn's ``logconfig_dict`` ask for.

    Args:
        level: the least severe level that is written.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "{levelname}{name}{message}{process}",
                "style": "{",
                "timestamp": True,
                "rename_fields": {"levelname": "level", "name": "logger"},
            }
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            # gunicorn's own lines about its workers' comings and goings are for finding faults.
            "gunicorn.error": {
                "level": "DEBUG" if level == "debug" else "WARNING",
                "handlers": [],
                "propagate": True,
            },
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }
