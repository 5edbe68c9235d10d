"""%chat in a kernel and in a terminal's IPython."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbchat
from tests.ui.processes import kernels

pytestmark = pytest.mark.own_ports


def test_in_a_notebook() -> None:
    with kernels(1) as (kernel,), nbchat.serve("class", history=None) as server:
        kernel.run("%load_ext nbchat")
        with nbchat.connect(server, name="bob") as bob:
            kernel.run("%chat hello from a line")
            assert bob.wait_for(lambda message: True).text == "hello from a line"
            kernel.run("%%chat\nhello\nfrom a cell")
            assert bob.wait_for(lambda message: True).text == "hello\nfrom a cell"
            assert len(bob.members) == 2
        kernel.run("panel = get_ipython().run_line_magic('chat', '')")
        assert kernel.run("type(panel).__name__, panel.client.status") == ("ChatPanel", "connected")


def test_in_a_terminal() -> None:
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    nbchat.load_ipython_extension(shell)
    with nbchat.serve("class", history=None) as server, nbchat.connect(server, name="bob") as bob:
        assert repr(shell.run_line_magic("chat", "")) == "(nothing has been said yet)"
        bob.send("hello\nboss: hi").wait()
        client = shell.find_line_magic("chat").__self__._client
        client.wait_for(lambda message: True)
        assert repr(shell.run_line_magic("chat", "")) == "bob (host): hello\n    boss: hi"
        client.close()
