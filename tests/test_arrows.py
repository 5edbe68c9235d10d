"""The map is guarded: who may import whom, what the core must not hear, and a first line in every file."""

import ast
from pathlib import Path

import pytest

import nbchat

PACKAGE = Path(nbchat.__file__).parent
FILES = {
    ".".join(("nbchat", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in PACKAGE.rglob("*.py")
}
LAYERS = ["core", "store", "net", "render", "api", "server client", "ui"]
"""Each may import those before it; what stands in one place never meets."""
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


def layer(module: str) -> tuple[int, str]:
    """In which layer a module of ours lives, and in which folder; the front door is above all."""
    parts = module.split(".")
    folder = parts[1] if len(parts) > 1 else ""
    return next((n for n, each in enumerate(LAYERS) if folder in each.split()), len(LAYERS)), folder


def imports_of_ours() -> dict[str, set[str]]:
    """Which file imports which, for types only and inside functions, too."""
    return {
        module: {name for name in imported(module) if name in FILES} - {module, "nbchat"} for module in FILES
    }


def test_the_package_is_found():
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
    place, folder = layer(module)
    if place == len(LAYERS):
        return
    ours = [layer(name) for name in imported(module) if name.startswith("nbchat.")]
    assert [other for at, other in ours if at > place or (at == place and other != folder)] == []


def test_there_is_no_circle():
    """Files that import nothing more are taken away until none is left."""
    left = imports_of_ours()
    while leaves := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in leaves}
    assert left == {}


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_opens_with_what_it_is_for(module):
    docstring = ast.get_docstring(ast.parse(FILES[module].read_text()))
    assert docstring
    assert docstring.splitlines()[0].strip()
