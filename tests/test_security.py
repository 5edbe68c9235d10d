"""The catalogue of attacks names tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CATALOGUE = (TESTS.parent / "docs" / "security.md").read_text("utf-8").partition("## The catalogue")[2]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", CATALOGUE)))


@cache
def those_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part)
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    assert test in those_in(file)


def test_every_row_names_a_test() -> None:
    rows = [line for line in CATALOGUE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    for row in rows:
        *_, last = (cell.strip() for cell in row.strip("|").split("|"))
        assert last == "which test" or re.search(r"`[\w/]+\.py::test_\w+`", last), row
    assert len(rows) > 40


def test_all_files_of_attacks_are_in_it() -> None:
    files = {file for file, _ in NAMED}
    assert {f"net/strangers/{path.name}" for path in (TESTS / "net" / "strangers").glob("test_*.py")} <= files
