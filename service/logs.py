"""Structured logs: one JSON object per line on stderr, including gunicorn's own messages."""

from __future__ import annotations

from typing import Any


def logging_table(level: str) -> dict[str, Any]:
    """Return the argument of ``logging.config.dictConfig`` and gunicorn's ``logconfig_dict``.

    Args:
        level: the least severe level that is logged.
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
            # gunicorn's messages about starting and ending workers only help to debug.
            "gunicorn.error": {
                "level": "DEBUG" if level == "debug" else "WARNING",
                "handlers": [],
                "propagate": True,
            },
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }
