"""The floors: who may import whom, and where each large library may stand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FLOORS: dict[str, set[str]] = {
    # What each part may import of its own program, besides itself.
    "service.errors": set(),
    "service.cores": set(),
    "service.settings": {"service.cores", "service.errors", "service.model"},
    "service.probe": set(),
    "service.logs": set(),
    "service.api_keys": {"service.model", "service.errors"},
    "service.model": {"service.errors"},
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
    "httptools": {"service.web.http.connection"},
    "onnxruntime": {"service.model.session", "trainer.export.parity"},
    "onnx": {"trainer.graph", "trainer.export"},
    "prometheus_client": {"service.serving.metrics", "service.web.monitoring.exposition"},
    "opentelemetry": {"service.web.monitoring.spans"},
    "pyarrow": {"trainer.data", "service.web.rows.arrow_format", "service.web.rows.table_answers"},
    "sklearn": {"trainer.evaluation"},
    "matplotlib": {"trainer.report"},
    "jinja2": {"trainer.report"},
    "threadpoolctl": {"trainer.fitting.cores"},
    "tqdm": {"trainer.fitting"},
    "click": {"service.__main__", "trainer.__main__"},
}


def modules(repository: Path) -> dict[str, ast.Module]:
    """Every module of the two programs, parsed."""
    found = {}
    for program in ("service", "trainer"):
        for path in sorted((repository / program).rglob("*.py")):
            parts = path.relative_to(repository).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imports(module: ast.Module) -> set[str]:
    """Every module that one imports, wherever in it."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module)
    return found


def part_of(module: str) -> str:
    """The floor that a module stands on: its package's, or its own at the top."""
    return ".".join(module.split(".")[:2])


def test_the_two_programs_never_import_each_other(repository: Path) -> None:
    for name, module in modules(repository).items():
        other = "trainer" if name.startswith("service") else "service"
        assert not [i for i in imports(module) if i.split(".")[0] == other], name


def test_each_floor_imports_only_the_floors_it_may_know(repository: Path) -> None:
    for name, module in modules(repository).items():
        if "." not in name:
            continue  # the package itself: a docstring and the version
        part = part_of(name)
        assert part in FLOORS, f"{name} stands on no floor"
        for imported in imports(module):
            if imported.split(".")[0] in ("service", "trainer") and part_of(imported) != part:
                assert part_of(imported) in FLOORS[part], f"{name} imports {imported}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_stands_only_where_it_belongs(repository: Path, library: str) -> None:
    users = {
        name
        for name, module in modules(repository).items()
        if library in {imported.split(".")[0] for imported in imports(module)}
    }
    assert users, f"nobody imports {library}"
    for name in users:
        assert any(name == place or name.startswith(f"{place}.") for place in LIBRARIES[library]), (
            f"{name} imports {library}"
        )


def test_no_module_imports_itself_by_a_detour(repository: Path) -> None:
    parsed = modules(repository)
    graph = {name: imports(module) & set(parsed) for name, module in parsed.items()}

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = set(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting |= graph[name]
        return seen

    assert not [name for name in graph if name in reachable(name)]


def test_no_name_says_nothing(repository: Path) -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    for name in modules(repository):
        assert not empty & set(name.split(".")), name


def test_every_package_states_its_law(repository: Path) -> None:
    for program in ("service", "trainer"):
        for path in (repository / program).rglob("__init__.py"):
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path
