"""What all benchmarks share: numbers as people read them, tables, the machine, and docs/performance.md."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PLOTS = PAGE.parent / "performance"


def write(section: str, text: str) -> None:
    """Put a text between a section's markers in the page."""
    page = PAGE.read_text("utf-8")
    start, marker, rest = page.partition(f"<!-- {section} -->\n")
    if not marker:
        raise ValueError(f"{PAGE.name} has no place for {section!r}")
    _, end, after = rest.partition("<!-- end -->\n")
    PAGE.write_text(f"{start}{marker}{text.strip()}\n{end}{after}", "utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """A table in Markdown; all columns but the first to the right."""
    line = "|---|" + ("---:|" if right else "---|") * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows)])


def plain(text: str) -> str:
    """A table as a terminal shows it: the columns under one another."""
    lines = []
    for block in text.split("\n\n"):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")]
        if not block.startswith("|"):
            lines += [block, ""]
            continue
        del rows[1]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            first, *others = (cell.ljust if not at else cell.rjust for at, cell in enumerate(row))
            lines.append(
                "  ".join(
                    [first(widths[0]), *(each(width) for each, width in zip(others, widths[1:], strict=True))]
                )
            )
        lines.append("")
    return "\n".join(lines)


def goals(found: Iterable[tuple[str, float, str, float, str]]) -> str:
    """A table of goals: what, the value found, ``>=`` or ``<=``, the goal, the unit."""
    rows = []
    for what, value, sign, goal, unit in found:
        is_met = value >= goal if sign == ">=" else value <= goal
        rows.append(
            (
                what,
                f"{'≥' if sign == '>=' else '≤'} {goal:g}{unit}",
                f"{short(value)}{unit}",
                "yes" if is_met else "**no**",
            )
        )
    return table(("goal", "wanted", "found", "met"), rows)


def short(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 999_500:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 99_950:
        return f"{value / 1e3:.0f} k"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The median, and the least and the most where there are several."""
    found = [value * scale for value in values]
    middle = short(statistics.median(found))
    return f"{middle} ({short(min(found))}–{short(max(found))})" if len(found) > 1 else middle


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which that part of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def machine(*packages: str) -> str:
    """What it was measured on, in a line."""
    versions = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    kernel = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores ({_processor()}), {kernel}, {', '.join(versions)}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def version_of(command: str, *arguments: str) -> str:
    """The first line that a program says about itself."""
    try:
        said = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return (said.stdout or said.stderr).strip().split("\n")[0]
