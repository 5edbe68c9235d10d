"""The pictures of docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import page

if TYPE_CHECKING:
    from chat import Findings

OWN, RIVAL, LIMIT = "#1f6feb", "#8c959f", "#d4a72c"
NAMES = {
    "own": "nbchat, in memory", "durable": "nbchat, file", "process": "nbchat, child process",
    "threads": "thread per client", "streams": "asyncio streams", "websockets": "websockets",
    "ngircd": "ngircd", "ngircd-quick": "ngircd, quick acks", "nats": "nats-server",
    "limit": "the limit, in C",
}  # fmt: skip


def _figure(columns: int, height: float) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot

    pyplot.rcParams.update(
        {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "nbchat", "axes.spines.top": False,
         "axes.spines.right": False, "font.family": "sans-serif"}
    )  # fmt: skip
    figure, axes = pyplot.subplots(1, columns, figsize=(9, height), squeeze=False, layout="constrained")
    figure.set_facecolor("white")
    return figure, list(axes[0])


def _save(figure: Any, name: str) -> None:
    page.PLOTS.mkdir(exist_ok=True)
    figure.savefig(page.PLOTS / f"{name}.svg", metadata={"Date": None, "Creator": None})


def _bars(axis: Any, names: list[str], values: list[float], colours: list[str], title: str) -> None:
    """Bars from the top down, on a logarithmic axis, each with its value."""
    places = range(len(names))
    axis.barh(places, values, color=colours, height=0.7)
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlim(min(values) / 2, max(values) * 6)
    axis.set_title(title, loc="left", fontsize=9)
    for place, value in zip(places, values, strict=True):
        axis.text(value * 1.08, place, page.short(value), va="center", fontsize=8)


def chat(found: Findings) -> None:
    """300 members in one room: deliveries in a second, and how late at 2,000 messages a second."""
    figure, axes = _figure(3, 3.2)
    for axis, (load, what, scale, title) in zip(
        axes,
        (
            ("flight 10", "rate", 1, "10 in flight: deliveries/s\n(more is better)"),
            ("flight 256", "rate", 1, "256 in flight: deliveries/s\n(more is better)"),
            ("pace 2000", "p99", 1e3, "2,000 messages/s: p99 in ms\n(less is better)"),
        ),
        strict=True,
    ):
        medians = {key: found.median("300x1", key, load, what) for key in NAMES}
        shown = {key: value * scale for key, value in medians.items() if value}
        if not shown:
            return
        own = ("own", "durable", "process")
        colours = [OWN if key in own else LIMIT if key == "limit" else RIVAL for key in shown]
        _bars(axis, [NAMES[key] for key in shown], list(shown.values()), colours, title)
        if axis is not axes[0]:
            axis.set_yticks([])
    _save(figure, "chat")


def busy(rows: list[tuple[str, float, float, float]]) -> None:
    """Beside a cell: p50, p99 and the most, in milliseconds."""
    figure, axes = _figure(3, 0.8 + 0.3 * len(rows))
    for at, (axis, title) in enumerate(
        zip(axes, ("p50 in ms", "p99 in ms", "the longest, in ms"), strict=True)
    ):
        colours = [RIVAL if "idle" in row[0] else OWN for row in rows]
        _bars(
            axis,
            [row[0] for row in rows],
            [row[at + 1] for row in rows],
            colours,
            f"{title}\n(less is better)",
        )
        if at:
            axis.set_yticks([])
    _save(figure, "busy")


def classroom(series: dict[str, list[float]]) -> None:
    """Of how many messages all had seen them after how long."""
    figure, axes = _figure(1, 2.6)
    for colour, (name, values) in zip((OWN, LIMIT), series.items(), strict=False):
        ordered = sorted(1e3 * value for value in values)
        axes[0].step(
            ordered, [(at + 1) / len(ordered) for at in range(len(ordered))], color=colour, label=name
        )
    axes[0].set_xlabel("ms from send until all 30 kernels have it")
    axes[0].set_ylabel("part of the messages")
    axes[0].set_xlim(left=0)
    axes[0].legend(frameon=False, loc="lower right")
    _save(figure, "classroom")
