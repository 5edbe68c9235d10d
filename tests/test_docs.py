"""The documents say what the code says."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import nbchat
from nbchat.core import frames, keys

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nbchat"
README = Path(__file__).parents[1] / "README.md"
WIRE = ROOT / "docs" / "wire.md"
MAP = ROOT / "docs" / "architecture.md"
DECISIONS = ROOT / "docs" / "decisions"
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


# ── the wire ────────────────────────────────────────────────────────────────────────────────────


@cache
def sections() -> dict[str, str]:
    """docs/wire.md by its headings."""
    parts = re.split(r"^#{2,3} (.+)$", WIRE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> Iterator[list[str]]:
    """The rows of a section's tables, without their heads."""
    for line in sections()[section].splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def kinds(union: Any) -> list[type[msgspec.Struct]]:
    return list(union.__args__)


def heading(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    return "typing (shown)" if kind is frames.TypingShown else str(tag)


@pytest.mark.parametrize(
    "kind", [*kinds(frames.Request), *kinds(frames.Event)], ids=lambda kind: kind.__name__
)
def test_every_frame_has_its_section_with_its_fields(kind: type[msgspec.Struct]) -> None:
    documented = {row[0].strip("`") for row in rows(heading(kind)) if row[0] != "field"}
    assert documented == set(kind.__struct_encode_fields__)


@pytest.mark.parametrize(
    "kind", [*kinds(frames.Request), *kinds(frames.Event)], ids=lambda kind: kind.__name__
)
def test_the_tables_say_which_fields_have_to_be_there(kind: type[msgspec.Struct]) -> None:
    needed = {row[0].strip("`") for row in rows(heading(kind)) if row[0] != "field" and row[3] == "—"}
    assert needed == {field.encode_name for field in msgspec.structs.fields(kind) if field.required}


def test_only_what_there_is_has_a_section() -> None:
    text = WIRE.read_text("utf-8").partition("\n## Requests")[2].partition("\n## Refusals")[0]
    found = re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
    assert found == [heading(kind) for kind in [*kinds(frames.Request), *kinds(frames.Event)]]


_CODE = r"[a-z][a-z0-9_]*"


def codes() -> set[str]:
    """Every word by which the code refuses."""
    found: set[str | None] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=named):
                    if name in ("ProtocolError", "Refused", "_refuse", "_no", "BadText"):
                        found |= {_word(each) for each in args}
                        found |= {_word(each.value) for each in named if each.arg == "code"}
                case ast.Assign(targets=[ast.Name(id="code")], value=ast.IfExp(body=one, orelse=other)):
                    found |= {_word(one), _word(other)}
                case ast.Assign(targets=[ast.Name(id="code")], value=value):
                    found.add(_word(value))
    return {word for word in found if word is not None}


def _word(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(_CODE, node.value):
        return node.value
    return None


def test_the_collection_of_codes_sees_the_different_ways_to_refuse() -> None:
    assert {"bad_json", "name_in_use", "empty_text", "storage_full", "storage_down", "version"} <= codes()


def test_every_code_is_explained_and_every_explained_code_exists() -> None:
    listed = {row[0].strip("`") for row in rows("Refusals") if row[0] != "code"}
    ours = sections()["Refusals"].partition("These words are not on the wire.")[2]
    assert listed | set(re.findall(f"`({_CODE})`", ours)) == codes()


def test_the_example_of_the_handshake_is_right() -> None:
    given = {row[0]: row[1].strip("`") for row in rows("The handshake")}
    secret, nonces = given["secret"], (given["client's nonce"], given["server's nonce"])
    assert given["server's proof"] == keys.server_proof(secret, *nonces)
    assert given["client's proof"] == keys.client_proof(secret, *nonces)


def test_the_limits_are_those_of_the_code() -> None:
    limits = {field.name: field.default for field in fields(nbchat.Limits)}
    told = {row[0].strip("`"): float(row[1]) for row in rows("Limits") if row[0] != "limit"}
    assert told == {name: limits[name] for name in told}
    assert set(limits) - set(told) == {"ring", "send_buffer", "file"}, "what a peer cannot notice"


def test_the_small_client_is_the_one_in_the_examples() -> None:
    example = (ROOT / "examples" / "minimal_client.py").read_text("utf-8")
    assert f"```python\n{example}```" in WIRE.read_text("utf-8")


# ── the map ─────────────────────────────────────────────────────────────────────────────────────


def test_the_map_names_every_file_of_the_package_and_no_other() -> None:
    files = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    told = set(re.findall(r"^\| `([\w/]+\.\w+)` \|", MAP.read_text("utf-8"), flags=re.MULTILINE))
    assert told == files


def test_the_list_of_decisions_names_each_once() -> None:
    listed = re.findall(
        r"^\| \[\d{4}\]\(([^)]+)\)", (DECISIONS / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert listed == sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))


# ── all documents ───────────────────────────────────────────────────────────────────────────────


def prose(path: Path) -> str:
    """A document without its code, in which brackets are no links."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as the usual hosts make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(<?([^)\s>]+)>?(?:\s[^)]*)?\)", prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_changelog_begins_with_what_is_not_released_and_agrees_with_the_version() -> None:
    released = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released[0] == "Unreleased"
    assert released[1:2] in ([], [nbchat.__version__])


# ── what is installed ───────────────────────────────────────────────────────────────────────────


def bound(requirement: str) -> tuple[str, str | None]:
    """A package's name in its one spelling, and its lower bound."""
    match = re.match(r"\s*([\w.-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([\w.]+))?", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


def test_environment_yml_is_in_step_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    known: dict[str, set[str | None]] = {"python": {project["requires-python"].removeprefix(">=")}}
    for requirement in [*project["dependencies"], *extras]:
        name, lowest = bound(requirement)
        known.setdefault(name, set()).add(lowest)
    *conda, last = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    assert last == {"pip": ["-e ."]}
    listed = dict(bound(each) for each in conda)
    assert "python" in listed
    assert listed == {
        name: (min(known[name], key=str) if name in known else low) for name, low in listed.items()
    }
    assert all(len(known[name]) == 1 for name in listed if name in known), "one bound for one package"


# ── all files ───────────────────────────────────────────────────────────────────────────────────

_FORBIDDEN = {
    "the distribution is called jupyter-nbchat": r"pip3? install (?:-\S+ )*['\"]?nbchat\b",
    "a path of somebody's machine": (
        r"(?<![\w.~%/])/(?:home|Users|root|work|mnt|opt|tmp/\w*venv)/\w|[A-Z]:\\Users\\"
    ),
    "the address of a package registry": (
        r"\b(?:pypi|pythonhosted|npmjs|anaconda)[.](?:org|com)\b"
        r"|--(?:extra-)?index[-]url|PIP_(?:EXTRA_)?INDEX[_]URL|--find[-]links"
    ),
}


@cache
def tracked() -> list[Path]:
    """The files of the project: what git tracks or, in an unpacked archive, all there is."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, encoding="utf-8"
        ).stdout
        names = [name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if names:
        paths = [ROOT / name for name in names]
    else:
        made = re.compile(r"(^|/)(\.(?!ci|github)\w|build/|dist/|node_modules/|__pycache__/)")
        paths = [path for path in ROOT.rglob("*") if not made.search(path.relative_to(ROOT).as_posix())]
    return [path for path in paths if path.is_file() and path != Path(__file__).resolve()]


@pytest.mark.parametrize("reason", _FORBIDDEN)
def test_no_file_says(reason: str) -> None:
    pattern = re.compile(_FORBIDDEN[reason])
    found = []
    for path in {*tracked(), *MARKDOWN}:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


def test_what_is_forbidden_would_be_found() -> None:
    texts = {
        "the distribution is called jupyter-nbchat": ["pip install nbchat", 'pip install -U "nbchat[test]"'],
        "a path of somebody's machine": ["cd /home/ada/chat", r"C:\Users\ada"],
        "the address of a package registry": [
            "https://" + "pypi" + ".org/simple",
            "--index" + "-url https://x",
        ],
    }
    for reason, examples in texts.items():
        assert all(re.search(_FORBIDDEN[reason], example) for example in examples), reason
    allowed = "pip install jupyter-nbchat; pip install -e .; see https://example.org/home/ada"
    assert not any(re.search(pattern, allowed) for pattern in _FORBIDDEN.values())


def test_no_code_of_the_readme_is_so_long_that_it_scrolls() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", README.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    assert [line for block in blocks for line in block.splitlines() if len(line) > 90] == []
