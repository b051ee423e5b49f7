from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving.policy

MODULES = sorted(Path(serving.policy.__file__).parent.glob("*.py"))
IMPURE = {
    *("asyncio", "bentoml", "http", "httpx", "lightgbm", "mlflow", "os", "random"),
    *("requests", "secrets", "shelve", "socket", "sqlite3", "ssl", "starlette"),
    *("subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
}
CLOCKS = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"}
READS = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}
# The document's door: `Policy.load` and the packaged default.
DOOR = "rules.py"


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield getattr(function, "attr", getattr(function, "id", ""))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_policy_is_pure(path: Path) -> None:
    """No network, database, clock or chance; only the document's door reads a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not IMPURE & set(_imported(tree))
    called = set(_called(tree))
    assert not CLOCKS & called
    assert path.name == DOOR or not READS & called
