"""The map is guarded: who may import whom, what the core must not hear, and a first line in every file."""

import ast
from pathlib import Path

import pytest

import nbchat

HOUSE = Path(nbchat.__file__).parent
FILES = {
    ".".join(("nbchat", *path.relative_to(HOUSE).with_suffix("").parts)): path for path in HOUSE.rglob("*.py")
}
FLOORS = ["core", "store", "net", "ui"]
"""Each may import those before it."""
OUTSIDE = {
    "socket", "selectors", "select", "ssl", "asyncio", "threading", "concurrent", "multiprocessing", "queue",
    "subprocess", "signal", "sqlite3", "time", "random", "secrets", "os", "pathlib", "logging", "IPython",
    "ipywidgets", "anywidget", "traitlets", "uvloop",
}  # fmt: skip


def imported(module: str) -> set[str]:
    """The full names that a module imports, also inside its functions."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.removesuffix(".__init__").split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            found.update({start, *(f"{start}.{alias.name}" for alias in node.names)})
    return found


def floor(module: str) -> int:
    """On which floor a module of ours lives; the front door is above all."""
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 and parts[1] in FLOORS else len(FLOORS)


def test_the_house_is_found():
    assert {
        "nbchat.core.hub",
        "nbchat.store.sqlite",
        "nbchat.server.server",
        "nbchat.ui.panel",
    } <= FILES.keys()
    assert "nbchat.core.errors" in imported("nbchat.core.names")
    assert "asyncio" in imported("nbchat.store.sqlite")


@pytest.mark.parametrize("module", sorted(name for name in FILES if name.startswith("nbchat.core")))
def test_the_core_is_deaf_to_the_world(module):
    assert {name.partition(".")[0] for name in imported(module)} & OUTSIDE == set()


@pytest.mark.parametrize("module", sorted(FILES))
def test_arrows_point_down(module):
    if floor(module) == len(FLOORS):
        return
    # The package itself holds names only (a version), so it may be asked by all.
    ours = {name for name in imported(module) if name.startswith("nbchat.") and floor(name) < len(FLOORS)}
    assert {name for name in ours if floor(name) > floor(module)} == set()


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_opens_with_what_it_is_for(module):
    docstring = ast.get_docstring(ast.parse(FILES[module].read_text()))
    assert docstring
    assert docstring.splitlines()[0].strip()
