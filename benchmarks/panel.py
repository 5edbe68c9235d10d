"""How fast the panel is: two notebooks in a real JupyterLab, measured in their pages.

    python benchmarks/panel.py [--write]

Prints a table; with --write it goes into docs/performance.md, too. Needs Chromium. The server and a client
that sends the bursts run in this process; the two pages' kernels are processes of their own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from jupyter_client.manager import start_new_kernel  # noqa: E402
from playwright.sync_api import Page, expect  # noqa: E402

import nbchat  # noqa: E402
from nbchat.core.limits import NO_RATES  # noqa: E402
from tests.ui import lab  # noqa: E402

JOIN = "import nbchat\npanel = nbchat.join(name={!r}, room={!r})\npanel"
FAST = nbchat.Limits(**NO_RATES)
TEXT = (
    "message {:06d} of the burst, with some words behind it that make it a hundred characters long, as chat"
)
"""About 100 characters, as people write."""

SAY = """text => {
    const box = document.querySelector(".nbchat-box");
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    const at = performance.timeOrigin + performance.now();
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    return at;
}"""
SEEN = """text => new Promise((found) => {
    const log = document.querySelector(".nbchat-log");
    const look = () => {
        const last = [...log.querySelectorAll(".nbchat-row .nbchat-text")].at(-1);
        if (!last?.textContent.includes(text)) return false;
        watch.disconnect();
        requestAnimationFrame(() => found(performance.timeOrigin + performance.now()));
        return true;
    };
    const watch = new MutationObserver(look);
    watch.observe(log, { childList: true, subtree: true });
    look();
})"""
PROBE = """() => {
    const probe = (window.nbchatProbe = { long: [], frames: [], most: 0 });
    new PerformanceObserver((list) => probe.long.push(...list.getEntries().map((each) => each.duration)))
        .observe({ entryTypes: ["longtask"] });
    const tick = (now) => {
        probe.frames.push(now);
        const log = document.querySelector(".nbchat-log");
        if (log) probe.most = Math.max(probe.most, log.getElementsByTagName("*").length);
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
}"""
RESULT = """() => {
    const { long, frames, most } = window.nbchatProbe;
    const gaps = frames.slice(1).map((at, index) => at - frames[index]);
    return { long: long.length, longest: Math.max(0, ...long), gap: Math.max(0, ...gaps),
             fps: gaps.length / (gaps.reduce((sum, gap) => sum + gap, 0) / 1000), most };
}"""
COUNT = """
    const traffic = (window.nbchatTraffic = { messages: 0, size: 0 });
    window.WebSocket = class extends WebSocket {
        constructor(...details) {
            super(...details);
            if (!String(details[0]).includes("/channels")) return;
            this.addEventListener("message", ({ data }) => {
                traffic.messages += 1;
                traffic.size += data.byteLength ?? data.size ?? new TextEncoder().encode(data).length;
            });
        }
    };
"""
TO_THE_TOP = """() => new Promise((done) => {
    const log = document.querySelector(".nbchat-log");
    const begun = performance.now();
    let seen = new Set();
    const step = () => {
        for (const each of log.querySelectorAll(".nbchat-row .nbchat-text")) {
            const number = each.textContent.match(/message (\\d+) /);
            if (number) seen.add(Number(number[1]));
        }
        if (log.querySelector(".nbchat-start").textContent && log.scrollTop < 2) {
            return done({ ms: performance.now() - begun, seen: seen.size });
        }
        log.scrollTop -= 400;
        requestAnimationFrame(step);
    };
    step();
})"""


class Traffic:
    """What a page gets over its kernel's websocket, counted in the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(COUNT)

    def reset(self) -> None:
        self._page.evaluate("() => Object.assign(window.nbchatTraffic, { messages: 0, size: 0 })")

    def read(self) -> dict[str, int]:
        return self._page.evaluate("() => ({ ...window.nbchatTraffic })")


class Watched(lab.Notebook):
    """A notebook whose traffic is counted from the beginning."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.traffic: Traffic | None = None
        super().__init__(*arguments, **options)
        self.traffic = Traffic(self.page)
        self.reload()  # the websocket is opened anew, and watched
        expect(self.status).to_contain_text("Connected", timeout=30_000)


def latencies(one: lab.Notebook, other: lab.Notebook, count: int, word: str) -> list[float]:
    """Milliseconds from Enter in one page to the message drawn in the other's."""
    found = []
    for number in range(count):
        text = f"{word} {number}"
        other.page.evaluate(f"text => {{ window.seen = ({SEEN})(text); }}", text)
        said = one.page.evaluate(SAY, text)
        found.append(other.page.evaluate("() => window.seen") - said)
    return found


def burst(sender: nbchat.Client, reader: Watched, count: int, start: int) -> dict[str, Any]:
    """A program says many lines at once; how long until the page shows the last one."""
    page, traffic = reader.page, reader.traffic
    assert traffic is not None
    texts = [TEXT.format(number) for number in range(start, start + count)]
    page.evaluate(PROBE)
    traffic.reset()
    page.evaluate(f"text => {{ window.seen = ({SEEN})(text); }}", texts[-1])
    said = time.time() * 1000
    for text in texts:
        sender.send(text)
    drawn = page.evaluate("() => window.seen") - said
    shown = [text for text in reader.texts.all_inner_texts() if "of the burst" in text]
    assert shown == texts[-len(shown) :], "not in order"
    rendered = sum(len(text) for text in texts)
    return {
        "ms": drawn, "rendered": rendered, "shown": len(shown), **traffic.read(), **page.evaluate(RESULT),
    }  # fmt: skip


def output_traffic(count: int) -> int:
    """Bytes that a kernel sends when the same lines go through ipywidgets.Output.append_stdout. Counted at
    the kernel: so much at once does not reach a page whole."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute(
            f"import ipywidgets\noutput, text = ipywidgets.Output(), {TEXT!r}\n"
            f"for number in range({count}):\n    output.append_stdout(text.format(number) + '\\n')"
        )
        size = 0
        while (message := client.get_iopub_msg(timeout=60))["content"].get("execution_state") != "idle":
            if message["msg_type"] == "comm_msg":
                size += len(json.dumps(message["content"]).encode())
        return size
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def measure() -> Iterator[tuple[str, str]]:
    """The rows of the table, as they are measured."""
    with (
        tempfile.TemporaryDirectory() as folder,
        nbchat.serve(port=0, history=None, plain=False, limits=FAST) as server,
        lab.running_lab(Path(folder), NBCHAT_URL=server.invite()) as address,
        lab.browser() as chromium,
        nbchat.connect(server, name="sender", room="rates") as sender,
    ):
        jupyter = (address, Path(folder) / "work")
        one = lab.Notebook(chromium, jupyter, "one", JOIN.format("ada", "lobby"))
        two = lab.Notebook(chromium, jupyter, "two", JOIN.format("bob", "lobby"))
        latencies(one, two, 5, "warm")
        idle = latencies(one, two, 30, "idle")
        yield "typed to seen, 30 messages", _spread(idle)
        for code, what in (
            ("import time; time.sleep(20)", "both cells in time.sleep"),
            ("end = __import__('time').time() + 20\nwhile __import__('time').time() < end: sum(range(1000))",
             "both cells in a Python loop"),
        ):  # fmt: skip
            for each in (one, two):
                each.start(code)
            yield f"the same, {what}", _spread(latencies(one, two, 10, what))
            for each in (one, two):
                each.run("pass")
        one.close()
        two.close()

        reader = Watched(chromium, jupyter, "reader", JOIN.format("bob", "rates"))
        burst(sender, reader, 2000, 0)
        found = burst(sender, reader, 1000, 2000)
        yield "1,000 messages at once with 2,000 there: all drawn", f"{found['ms']:.0f} ms"
        yield "… long tasks (over 50 ms), the longest", f"{found['long']}, {found['longest']:.0f} ms"
        yield "… frames a second, longest gap", f"{found['fps']:.0f}, {found['gap']:.0f} ms"
        yield "… websocket messages", f"{found['messages']}"
        yield (
            "… bytes to the page (and for each byte of text)",
            f"{found['size']:,} ({found['size'] / found['rendered']:.2f})",
        )
        yield "… the same lines through Output.append_stdout", f"{output_traffic(1000):,} bytes"
        found = burst(sender, reader, 5000, 3000)
        yield "5,000 messages at once: all drawn", f"{found['ms']:.0f} ms"
        burst(sender, reader, 2000, 8000)
        reader.close()

        reader = Watched(chromium, jupyter, "late", JOIN.format("eve", "rates"))
        reader.page.evaluate("() => { document.querySelector('.nbchat-log').focus(); }")
        yield "a room of 10,000: shown after the cell was run", f"{_open(reader):.0f} ms"
        reader.page.evaluate(PROBE)
        found = reader.page.evaluate(TO_THE_TOP)
        probe = reader.page.evaluate(RESULT)
        assert found["seen"] == 10_000, found
        yield "… scrolled to its first message", f"{found['ms'] / 1000:.1f} s, {found['seen']:,} seen"
        yield "… longest gap between frames", f"{probe['gap']:.0f} ms"
        yield "… most elements in the log", f"{probe['most']:,}"
        reader.close()


def _open(notebook: Watched) -> float:
    """Milliseconds from running the cell again to the newest message drawn."""
    notebook.run("panel.close()")
    return notebook.page.evaluate(
        """text => new Promise((found) => {
            const watch = new MutationObserver(() => {
                const last = [...document.querySelectorAll(".nbchat-row .nbchat-text")].at(-1);
                if (!last?.textContent.includes(text)) return;
                watch.disconnect();
                requestAnimationFrame(() => found(performance.now() - begun));
            });
            watch.observe(document.body, { childList: true, subtree: true });
            const begun = performance.now();
            window.jupyterapp.commands.execute("notebook:run-all-cells");
        })""",
        TEXT.format(9999),
    )


def _spread(found: list[float]) -> str:
    return f"p50 {statistics.median(found):.0f} ms, most {max(found):.0f} ms"


def machine() -> str:
    """What it was measured on, in a line."""
    names = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}, Chromium; one run."


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the panel is.")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    arguments = parser.parse_args()
    rows = []
    for what, value in measure():
        print(f"{what:60s} {value}", flush=True)
        rows.append((what, value))
    if arguments.write:
        page = HERE.parent / "docs" / "performance.md"
        start, _, rest = page.read_text("utf-8").partition("<!-- panel -->\n")
        end = rest.partition("<!-- end -->\n")[2]
        table = "\n".join(f"| {what} | {value} |" for what, value in rows)
        page.write_text(
            f"{start}<!-- panel -->\n{machine()}\n\n| | |\n|---|---|\n{table}\n<!-- end -->\n{end}", "utf-8"
        )


if __name__ == "__main__":
    main()
