"""The nbchat command: arguments to calls."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

import nbchat
from nbchat.core.errors import ChatError
from nbchat.core.visible import indented, one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 for an error that was explained, 2 for wrong usage."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ChatError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        sys.stdout = None  # whoever read us has gone; that is no error, and there is nowhere to say so
        return 0


def _serve(parsed: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    history = None if parsed.history == "none" else parsed.history
    with warnings.catch_warnings(record=True) as caught:
        server = nbchat.serve(
            parsed.name,
            parsed.host,
            parsed.port,
            history=history,
            process=False,  # nothing else runs in this one
            plain=parsed.plain,
            lan=parsed.lan,
            keep=parsed.keep,
        )
    for warning in caught:
        _complain(str(warning.message))
    with server:
        title = f"the chat {server.name!r}" if server.name else "a nameless chat"
        print(f"Serving {title} on {server.url} (history: {one_line(server.history)}).")
        print(f"To join on this machine:  nbchat join {server.name or server.url}")
        if parsed.qr:
            print(f"Invitation, good for 12 hours:\n{server.invite(qr=True)}")
        elif parsed.invite:
            print(f"Invitation, good for 12 hours:  {server.invite()}")
        elif parsed.lan:
            print("For others in this network, --invite prints a link.")
        print("Ctrl-C stops it.", flush=True)
        while not stop.wait(3600):
            pass
    return 0


def _join(parsed: argparse.Namespace) -> int:
    from nbchat.ui import terminal

    link = _typed_link() if parsed.link == "-" else parsed.link
    with nbchat.connect(link, parsed.name, parsed.room) as client:
        return terminal.talk(client)


def _typed_link() -> str:
    """The link from standard input: its first line, or typed unseen."""
    if sys.stdin.isatty():
        return getpass.getpass("Link: ").strip()
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):  # what follows stays there
        line += byte
    return line.decode(errors="replace").strip()


def _complain(why: str) -> None:
    print(f"nbchat: {indented(why)}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """One that echoes what was typed, or pasted, in a form that does nothing to the screen."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _keep(text: str) -> int | timedelta:
    """``10000`` as a number of messages, ``12h`` and ``30d`` as a time."""
    number = int(text.rstrip("hd"))
    if text.endswith("h"):
        return timedelta(hours=number)
    return timedelta(days=number) if text.endswith("d") else number


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nbchat", description="Chat between notebooks and terminals.")
    parser.add_argument("--version", action="version", version=f"nbchat {nbchat.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start a chat on this machine")
    serve.add_argument(
        "name", nargs="?", metavar="NAME", help="the chat's name; with one, its history is kept"
    )
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="default: 14900, or the next free one")
    serve.add_argument("--history", default="auto", metavar="FILE", help="a file, or none")
    serve.add_argument(
        "--keep",
        type=_keep,
        metavar="N",
        help="keep so many messages in each room, or those of a time: 10000, 12h, 30d (default: all)",
    )
    serve.add_argument(
        "--lan", action="store_true", help="serve this machine's network as well, with encryption"
    )
    serve.add_argument("--invite", action="store_true", help="print a link that others can join with")
    serve.add_argument("--qr", action="store_true", help="the same, and as a QR code")
    serve.add_argument(
        "--plain",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let plain-text clients (nc) join, or not",
    )
    serve.set_defaults(run=_serve)

    join = commands.add_parser("join", help="join a chat")
    join.add_argument(
        "link",
        nargs="?",
        metavar="LINK",
        help="a link or a chat's name; - reads the link from standard input, so that nobody sees it in the "
        "list of processes (default: the link in the variable NBCHAT_URL, else this machine's chat)",
    )
    join.add_argument("--name", help="your name (default: your login name)")
    join.add_argument("--room", default="lobby", help="default: lobby")
    join.set_defaults(run=_join)
    return parser
