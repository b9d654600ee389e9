"""The floors: who may import whom, and where each large library may stand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FLOORS: dict[str, set[str]] = {
    # What each part may import of its own program, besides itself.
    "service.errors": set(),
    "service.files": {"service.errors"},
    "service.cores": set(),
    "service.settings": {"service.cores", "service.errors", "service.model"},
    "service.probe": set(),
    "service.logs": set(),
    "service.api_keys": {"service.files", "service.errors"},
    "service.model": {"service.files", "service.errors"},
    "service.serving": {"service.model", "service.errors"},
    "service.web": {
        *("service", "service.serving", "service.model", "service.api_keys", "service.errors"),
    },
    "service.app": {
        "service",
        "service.cores",
        "service.api_keys",
        "service.web",
        "service.serving",
        "service.model",
        "service.settings",
    },
    "service.gunicorn_server": {
        *("service.app", "service.web", "service.serving", "service.settings", "service.logs"),
        "service.api_keys",
    },
    "service.__main__": {
        *(
            "service",
            "service.gunicorn_server",
            "service.settings",
            "service.cores",
            "service.errors",
        ),
        *("service.api_keys", "service.model", "service.probe"),
    },
    "trainer.errors": set(),
    "trainer.graph": {"trainer.errors"},
    "trainer.data": {"trainer.errors"},
    "trainer.features": {"trainer.data", "trainer.graph", "trainer.errors"},
    "trainer.network": {"trainer.graph", "trainer.errors"},
    "trainer.fitting": {"trainer.network", "trainer.errors"},
    "trainer.classifier": {
        *("trainer.features", "trainer.network", "trainer.data", "trainer.graph"),
        "trainer.evaluation",
    },
    "trainer.evaluation": {"trainer.errors"},
    "trainer.report": {"trainer.evaluation", "trainer.fitting", "trainer.data"},
    "trainer.export": {
        *("trainer", "trainer.classifier", "trainer.graph", "trainer.evaluation"),
        *("trainer.data", "trainer.errors"),
    },
    "trainer.presets": set(),
    "trainer.settings": {
        *("trainer.presets", "trainer.data", "trainer.network", "trainer.fitting"),
        *("trainer.evaluation", "trainer.export", "trainer.errors"),
    },
    "trainer.architecture": {"trainer.settings", "trainer.features", "trainer.network"},
    "trainer.pipeline": {
        *("trainer.settings", "trainer.architecture", "trainer.classifier", "trainer.data"),
        *("trainer.features", "trainer.network", "trainer.fitting", "trainer.evaluation"),
        "trainer.errors",
    },
    "trainer.cross_validation": {
        *("trainer.pipeline", "trainer.settings", "trainer.data", "trainer.evaluation"),
        "trainer.errors",
    },
    "trainer.run": {
        *("trainer", "trainer.settings", "trainer.pipeline", "trainer.cross_validation"),
        *("trainer.classifier", "trainer.data", "trainer.fitting", "trainer.evaluation"),
        *("trainer.export", "trainer.report", "trainer.errors"),
    },
    "trainer.__main__": {
        *("trainer", "trainer.run", "trainer.settings", "trainer.presets", "trainer.data"),
        "trainer.evaluation",
        *("trainer.export", "trainer.report", "trainer.errors"),
    },
}

LIBRARIES: dict[str, set[str]] = {
    # Which parts may import each library.
    "flask": {"service.web", "service.app"},
    "werkzeug": {"service.web"},
    "gunicorn": {"service.gunicorn_server"},
    "uvloop": {"service.gunicorn_server"},
    "httptools": {"service.web.http.parser"},
    "onnxruntime": {"service.model.session", "trainer.export.parity"},
    "onnx": {"trainer.graph", "trainer.export"},
    "prometheus_client": {"service.serving.metrics_collector", "service.web.monitoring.exposition"},
    "opentelemetry": {"service.web.monitoring.spans"},
    "pyarrow": {"trainer.data", "service.web.rows.arrow_format", "service.web.rows.table_results"},
    "sklearn": {"trainer.evaluation"},
    "matplotlib": {"trainer.report"},
    "jinja2": {"trainer.report"},
    "threadpoolctl": {"trainer.fitting.cores"},
    "tqdm": {"trainer.fitting"},
    "click": {"service.__main__", "trainer.__main__"},
}


WEB: dict[str, set[str]] = {
    # What each folder, and each loose module, of service/web may import of service/web.
    "http": set(),
    "request_id": set(),
    "response": {"http", "request_id"},
    "errors": {"response"},
    "auth": {"errors"},
    "json_body": {"errors", "response"},
    "inference": {"http", "request_id", "response", "errors", "json_body"},
    "rows": {"inference", "request_id", "response", "errors", "json_body"},
    "open_inference": {"inference", "request_id", "response", "errors", "json_body"},
    "tensorflow_serving": {"inference", "request_id", "response", "errors", "json_body"},
    "monitoring": {"http", "inference", "request_id", "response", "errors", "auth"},
    "api_docs": {
        *("rows", "open_inference", "tensorflow_serving", "monitoring", "inference"),
        *("json_body", "request_id", "response", "errors", "auth"),
    },
    "handlers": {
        *("rows", "open_inference", "tensorflow_serving", "monitoring", "inference"),
        *("json_body", "request_id", "response", "errors", "auth", "http"),
    },
}


TABLE_STEPS: dict[str, set[str]] = {
    # What each folder, and each loose module, of trainer/data may import of trainer/data. The order
    # is the way of a table: read, infer, encode, examine, split. A step imports only earlier lines.
    "schema": set(),  # the types of what the steps return
    "findings": set(),
    "cells": set(),  # read
    "files": {"cells"},
    "table": {"files", "cells", "findings"},
    "column": {"cells", "schema"},  # infer
    "labels": {"table", "column", "cells", "findings"},
    "column_rules": {"column", "cells", "schema", "findings"},
    "schema_inference": {"labels", "column_rules", "column", "table", "schema", "findings"},
    "encoding": {"labels", "column", "table", "cells", "schema", "findings"},  # encode
    "quality": {"table", "cells", "schema", "findings"},  # examine
    "stratified": {"schema"},  # split
    "preparation": {  # all steps
        *("table", "labels", "schema_inference", "encoding", "quality", "schema", "findings"),
    },
    "samples": set(),  # tables to start with
}


def modules(repository: Path) -> dict[str, ast.Module]:
    """Return every module of the two programs, parsed."""
    found = {}
    for program in ("service", "trainer"):
        for path in sorted((repository / program).rglob("*.py")):
            found[_dotted(path.relative_to(repository))] = ast.parse(path.read_text("utf-8"))
    return found


def _dotted(path: Path) -> str:
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def imports(name: str, module: ast.Module, packages: set[str]) -> set[str]:
    """Return every module that one imports, wherever in it; of the two programs by full name."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                kept = len(parts) - node.level + (name in packages)
                base = ".".join([*parts[:kept], *filter(None, [node.module])])
            assert base.split(".")[0] not in ("service", "trainer") or node.level, (
                f"{name} imports {base} by its absolute name; it has another one when installed"
            )
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


@pytest.fixture(scope="module")
def imported(repository: Path) -> dict[str, set[str]]:
    """What each module imports."""
    parsed = modules(repository)
    packages = {
        _dotted(path.parent.relative_to(repository) / "x").rpartition(".")[0]
        for program in ("service", "trainer")
        for path in (repository / program).rglob("__init__.py")
    }
    return {name: imports(name, module, packages) for name, module in parsed.items()}


def part_of(module: str) -> str:
    """The floor that a module stands on: its package's, or its own at the top."""
    return ".".join(module.split(".")[:2])


def test_service_and_trainer_never_import_each_other(imported: dict[str, set[str]]) -> None:
    for name, found in imported.items():
        other = "trainer" if name.startswith("service") else "service"
        assert not [i for i in found if other in i.split(".")[:2]], name


def test_service_and_trainer_take_only_the_version_from_the_package(
    imported: dict[str, set[str]],
) -> None:
    for name, found in imported.items():
        of_package = {i for i in found if i.split(".")[0] == "pigeonhole"}
        assert of_package <= {"pigeonhole", "pigeonhole.__version__"}, name


def test_each_floor_imports_only_the_floors_it_may_know(imported: dict[str, set[str]]) -> None:
    for name, found in imported.items():
        if "." not in name:
            continue  # the package itself: a docstring
        part = part_of(name)
        assert part in FLOORS, f"{name} stands on no floor"
        for each in found:
            if each.split(".")[0] in ("service", "trainer") and part_of(each) != part:
                assert part_of(each) in FLOORS[part], f"{name} imports {each}"


def test_each_folder_of_web_imports_only_the_folders_it_may_know(
    imported: dict[str, set[str]],
) -> None:
    for name, found in imported.items():
        if not name.startswith("service.web."):
            continue
        folder = name.split(".")[2]
        assert folder in WEB, f"{name} stands in no known folder"
        known = {each.split(".")[2] for each in found if each.startswith("service.web.")}
        assert known <= WEB[folder] | {folder}, f"{name} imports {known - WEB[folder] - {folder}}"


def test_each_step_of_a_table_imports_only_earlier_steps(imported: dict[str, set[str]]) -> None:
    order = list(TABLE_STEPS)
    for index, (step, allowed) in enumerate(TABLE_STEPS.items()):
        assert allowed <= set(order[:index]), f"{step} may import later steps"
    for name, found in imported.items():
        if not name.startswith("trainer.data."):
            continue
        step = name.split(".")[2]
        assert step in TABLE_STEPS, f"{name} is not a step"
        known = {each.split(".")[2] for each in found if each.startswith("trainer.data.")}
        assert known <= TABLE_STEPS[step] | {step}, f"{name} imports {known - TABLE_STEPS[step]}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_stands_only_where_it_belongs(
    imported: dict[str, set[str]], library: str
) -> None:
    users = {
        name
        for name, found in imported.items()
        if library in {each.split(".")[0] for each in found}
    }
    assert users, f"nothing imports {library}"
    for name in users:
        assert any(name == place or name.startswith(f"{place}.") for place in LIBRARIES[library]), (
            f"{name} imports {library}"
        )


def test_no_module_imports_itself_by_a_detour(imported: dict[str, set[str]]) -> None:
    graph = {name: found & set(imported) - {name} for name, found in imported.items()}

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = set(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting |= graph[name]
        return seen

    # A package's own name stands for its __init__, which imports none of its modules.
    assert not [name for name in graph if name in reachable(name)]


def test_no_name_says_nothing(repository: Path) -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    for name in modules(repository):
        assert not empty & set(name.split(".")), name


def test_every_package_states_its_law(repository: Path) -> None:
    for program in ("service", "trainer"):
        for path in (repository / program).rglob("__init__.py"):
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path
