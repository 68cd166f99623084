"""docs/reliability.md and the fault tests name each other: no promise without its test, no test without a promise."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISED = re.findall(r"`(tests/faults/\w+\.py)::(\w+)`", PAGE)


def names_of_tests(path: Path) -> set[str]:
    """Return the names of the test functions of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("file", "name"), PROMISED, ids=[name for _, name in PROMISED])
def test_every_test_that_the_page_names_exists(file: str, name: str) -> None:
    assert name in names_of_tests(ROOT / file)


@pytest.mark.parametrize("path", sorted({ROOT / file for file, _ in PROMISED}), ids=lambda path: path.name)
def test_every_fault_test_of_these_files_keeps_a_promise_of_the_page(path: Path) -> None:
    assert names_of_tests(path) <= {name for _, name in PROMISED}


def test_each_promise_has_a_row_and_each_row_a_test() -> None:
    section = PAGE.split("\n## Promises\n")[1].split("\n## ")[0]
    rows = [
        line for line in section.splitlines() if line.startswith("|") and not line.startswith(("| promise", "|---"))
    ]

    assert [row for row in rows if "::test_" not in row] == []
    assert len(rows) == len(PROMISED) > 30
