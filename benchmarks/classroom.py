"""A classroom: 30 real kernels, each with a panel's client, and the server in the 31st.

    python benchmarks/classroom.py [--write] [--kernels 30]

No page is open; the kernels are as in 30 notebooks of one machine. Times are of the machine's one clock.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import page
import plots
import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

NOW = "time.clock_gettime(time.CLOCK_MONOTONIC)"
SERVE = "import nbchat\nserver = nbchat.serve(port=0)\nprint(repr(server.invite()))"
JOIN = f"""
import time
import nbchat
panel = nbchat.join({{link!r}}, name={{name!r}})
joined = {NOW}
came = {{{{}}}}
def keep(message):
    came[message.text] = {NOW}
keep = panel.client.on_message(own=True)(keep)
print(joined)
"""
LEAVE = "panel.close()"
SAY = f"""
sent = {{{{}}}}
for number, at in enumerate({{times!r}}):
    time.sleep(max(0.0, at - {NOW}))
    text = f"{{word}} {{name}} {{{{number}}}}, and so on, as people write in a class, a hundred bytes or so"
    sent[text] = {NOW}
    panel.client.send(text)
while len(came) < {{count}} and {NOW} < {{until}}:
    time.sleep(0.02)
print((sent, dict(came)))
came.clear()
"""


class Kernel:
    """One notebook's kernel."""

    def __init__(self, folder: str) -> None:
        self.manager: KernelManager
        self.client: BlockingKernelClient
        self.manager, self.client = start_new_kernel(
            kernel_name="python3",
            env={**os.environ, "JUPYTER_RUNTIME_DIR": folder},
            stderr=subprocess.DEVNULL,
        )

    def run(self, code: str) -> Any:
        """Run a cell; what it printed, read as Python."""
        output = ""

        def hook(message: dict[str, Any]) -> None:
            nonlocal output
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                output += content["text"]
            elif message["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))

        self.client.execute_interactive(code, output_hook=hook, timeout=120)
        return ast.literal_eval(output) if output else None

    def memory(self) -> int:
        """The bytes that the process holds, shared libraries among them."""
        pid: int = self.manager.provisioner.process.pid  # type: ignore[union-attr]
        return psutil.Process(pid).memory_info().rss

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class Classroom:
    """The kernels, and the link to the server in the first of them."""

    def __init__(self, folder: str, count: int) -> None:
        self.server = Kernel(folder)
        self.alone = self.server.memory()
        self.link: str = self.server.run(SERVE)
        self.students: list[Kernel] = []
        self._folder, self._count = folder, count
        self.pool = ThreadPoolExecutor(count)

    def fill(self) -> float:
        """Kernels start, a few at a time, and each joins when it has started; seconds from the last one's
        start until all have joined."""

        def come(number: int) -> tuple[float, float]:
            kernel = Kernel(self._folder)
            self.students.append(kernel)
            return now(), kernel.run(JOIN.format(link=self.link, name=f"student{number}"))

        with ThreadPoolExecutor(3) as pool:
            times = list(pool.map(come, range(self._count)))
        return max(joined for _, joined in times) - max(started for started, _ in times)

    def again(self) -> float:
        """All leave, and all run their cell again at the same moment; seconds until all have joined."""
        list(self.pool.map(lambda kernel: kernel.run(LEAVE), self.students))
        begun = now()
        join = [JOIN.format(link=self.link, name=f"back{number}") for number in range(self._count)]
        return max(self.pool.map(Kernel.run, self.students, join)) - begun

    def talk(self, pace: float, each: int) -> list[float]:
        """All in turn say so many messages; seconds from each one's send until all have it."""
        begin, count = now() + 1.5, self._count
        says = [
            SAY.format(
                times=[begin + (turn * count + number) / pace for turn in range(each)],
                word=f"at {pace:g}", name=number, count=count * each, until=begin + count * each / pace + 20,
            )
            for number in range(count)
        ]  # fmt: skip
        answers = list(self.pool.map(Kernel.run, self.students, says))
        sent = {text: at for mine, _ in answers for text, at in mine.items()}
        return [max(came[text] for _, came in answers) - at for text, at in sent.items()]

    def end(self) -> None:
        list(self.pool.map(Kernel.end, [*self.students, self.server]))
        self.pool.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description="30 kernels with a client each, and the server in the 31st.")
    parser.add_argument("--write", action="store_true", help="write table and plot into docs/")
    parser.add_argument("--kernels", type=int, default=30)
    arguments = parser.parse_args()
    count = arguments.kernels
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        room = Classroom(folder, count)
        try:
            joined = room.fill()
            rows.append(("all joined after the last kernel had started", f"{page.short(joined)} s"))
            again = room.again()
            rows.append(("all run the cell again in the same moment: all joined", f"{page.short(again)} s"))
            seen = {}
            for pace, each in ((1, 1), (20, 10)):
                seen[pace] = found = room.talk(pace, each)
                p50, p99 = (page.percentile(found, part) * 1e3 for part in (0.5, 0.99))
                what = f"{len(found)} messages, {pace}/s: from send to seen by all"
                rows.append((what, f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {max(found) * 1e3:.0f} ms"))
            grown = (room.server.memory() - room.alone) / 2**20
            rows.append(("the server's kernel: memory before", f"{room.alone / 2**20:.0f} MiB"))
            rows.append((f"… with nbchat, the server and {count} members", f"{grown:.0f} MiB more"))
        finally:
            room.end()
    wanted = [
        ("all joined after the last kernel's start", joined, "<=", 3.0, " s"),
        *(
            (f"{pace}/s: seen by all, p99", page.percentile(seen[pace], 0.99) * 1e3, "<=", 100.0, " ms")
            for pace in seen
        ),
    ]
    packages = ("ipykernel", "jupyter_client", "anywidget")
    note = f"{page.machine(*packages)}; {count} kernels and the server's; one run."
    result = "\n\n".join((note, page.goals(wanted), page.table(("", ""), rows)))
    print(page.plain(result))
    if arguments.write:
        page.write("classroom", result)
        plots.classroom({f"{pace}/s": found for pace, found in seen.items()})


if __name__ == "__main__":
    main()
