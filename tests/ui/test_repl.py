"""A server in a bare REPL: the prompt stays clean, and leaving is quick and quiet."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nbchat
from tests.ui.processes import PATIENCE, Terminal, terminal

REPLS = {
    "python": ([sys.executable, "-q"], ">>> "),
    "ipython": ([sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-tip"], "In ["),
}


def run(repl: Terminal, code: str, prompt: str) -> str:
    """Type a line; returns what the REPL shows until its next prompt."""
    repl.type(code + "\n")
    repl.expect(code)
    return repl.expect(prompt).strip()


@pytest.mark.parametrize("kind", REPLS)
def test_the_prompt_stays_clean(kind: str) -> None:
    command, prompt = REPLS[kind]
    with terminal(*command, PYTHON_BASIC_REPL="1", NO_COLOR="1") as repl:
        repl.expect(prompt)
        run(repl, "import nbchat; s = nbchat.serve(port=0, history=None)", prompt)
        link = run(repl, "print(s.invite())", prompt).split()[0]
        run(repl, "c = nbchat.connect(s, name='host')", prompt)

        # Others come, talk, break off and go; the screen shows nothing of it.
        with nbchat.connect(link, name="ada") as ada:
            assert ada.send("hello").wait().seq == 1
            shown = run(repl, "c.wait_for(lambda m: m.by == 'ada').text", prompt)
            assert "hello" in shown
        left = "list(s.members) if c._state.wait(lambda: len(c._state.transcript.members) == 1, 9) else 0"
        assert "['host']" in run(repl, left, prompt)
        assert "5" in run(repl, "2 + 3", prompt)

        repl.type("exit()\n")
        rest = repl.rest()
        assert repl.process.wait(PATIENCE) == 0
        assert "Traceback" not in rest
        assert "rror" not in rest
    assert "ada" not in rest


def test_serving_imports_no_widget() -> None:
    code = (
        "import sys, nbchat\n"
        "with nbchat.serve(port=0, history=None) as server, nbchat.connect(server) as client:\n"
        "    client.send('hi').wait()\n"
        "widgets = {'IPython', 'ipywidgets', 'anywidget', 'traitlets', 'prompt_toolkit'}\n"
        "print(sorted(widgets & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
