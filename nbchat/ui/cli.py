"""The nbchat command: arguments to calls."""

from __future__ import annotations

import argparse
import ast
import codecs
import getpass
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import nbchat
from nbchat.core.errors import ChatError, UsageError
from nbchat.core.escape import one_line
from nbchat.net.eventloop import hold_standard_streams
from nbchat.render import wrap
from nbchat.ui.terminal import complain

if TYPE_CHECKING:
    from nbchat.server.qr import Invitation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 for an error that was explained, 2 for wrong usage."""
    _prepare()
    parsed = _parser().parse_args(arguments)
    try:
        status = int(parsed.run(parsed))
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except ChatError as error:
        _complain(_as_commands(str(error)))
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever read us has gone; that is no error, and there is nowhere to say so
        _give_up_output()
        return 0
    except OSError as error:
        _give_up_output()
        _complain(f"What was said could not be written: {error.strerror or error}.")
        return 1


def _prepare() -> None:
    """See to it that no text of anybody's is too much for the streams: in a locale of C, or another one that
    is older than Unicode."""
    hold_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    if reconfigure := getattr(sys.stdin, "reconfigure", None):
        is_ascii = codecs.lookup(sys.stdin.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if is_ascii else None, errors="replace")


def _give_up_output() -> None:
    """Standard output takes no more: so that Python's end does not try once again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


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
        _complain(_as_commands(str(warning.message)))
    with server:
        is_networked = bool(server._options.lan)
        title = f"the chat {server.name!r}" if server.name else "a nameless chat"
        print(f"Serving {title} on {server.url} (history: {one_line(server.history)}).")
        print(f"To join on this machine:  nbchat join {shlex.quote(server.name or server.url)}")
        if parsed.qr or parsed.invite:
            invitation = server.invite(qr=True)
            print(f"Invitation, good for 12 hours:  nbchat join {shlex.quote(invitation.link)}")
            print(f"In a notebook:  {invitation.call}")
            if parsed.qr:
                _draw(invitation)
        elif is_networked:
            print("For others in this network, --invite prints a link.")
        if parsed.qr and not is_networked:
            _complain("This link leads to this machine only. For others in this network: add --lan")
        print("Ctrl-C stops it.", flush=True)
        while not stop.wait(3600):
            pass
    print("The chat has stopped.")
    return 0


def _draw(invitation: Invitation) -> None:
    """Print the QR code, or why that cannot be."""
    picture = str(invitation).partition("\n\n")[2]
    wide = invitation.width
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "▀▄█".encode(encoding)
    except UnicodeEncodeError:
        _complain(f"A QR code cannot be drawn in this terminal's encoding ({encoding}). With UTF-8: "
                 "PYTHONIOENCODING=utf-8 nbchat serve --qr")  # fmt: skip
        return
    if (columns := wrap.columns()) is not None and columns < wide:
        _complain(f"A QR code needs {wide} columns, and this terminal has {columns}: make it wider.")
        return
    print(picture)


def _join(parsed: argparse.Namespace) -> int:
    from nbchat.ui import terminal

    link = _typed_link() if parsed.link == "-" else parsed.link
    with nbchat.connect(link, parsed.name, parsed.room) as client:
        return terminal.talk(client)


def _typed_link() -> str:
    """The link from standard input: its first line, or typed unseen."""
    if sys.stdin is None:
        raise UsageError("Standard input is closed (<&-), so no link can be read from it.")
    if sys.stdin.isatty():
        return getpass.getpass("Link: ").strip()
    line = b""
    try:
        while not line.endswith(b"\n") and (
            byte := os.read(sys.stdin.fileno(), 1)
        ):  # what follows stays there
            line += byte
    except OSError as error:
        raise UsageError(f"Standard input cannot be read: {error.strerror}.") from error
    return line.decode(errors="replace").strip()


_CALL = re.compile(r"nbchat\.(serve|join)\(([^()]*)\)")
_SETTING = re.compile(r"import os; os\.environ\['(\w+)'\] = '(\w+)'")


_FILE = ", or a file: nbchat.join(pathlib.Path('link.txt'))"
_ASKED = ", and so does nbchat join -, which asks for the link"


def _as_commands(words: str) -> str:
    """An error's words with what to type here: ``nbchat serve cs101`` for ``nbchat.serve('cs101')``. What
    has no command stays."""

    def command(call: re.Match[str]) -> str:
        try:
            given = ast.literal_eval(f"[{call[2]}]")
        except (SyntaxError, ValueError):
            return call[0]
        return shlex.join(["nbchat", call[1], *map(str, given)])

    words = words.replace(_FILE, _ASKED)
    return _SETTING.sub(r"export \1=\2", _CALL.sub(command, words))


def _complain(why: str) -> None:
    complain(why, is_folded=False)  # paths and commands in it are to be copied


class _Parser(argparse.ArgumentParser):
    """One that echoes what was typed, or pasted, in a form that does nothing to the screen."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _text(argument: str) -> str:
    """An argument as text, also in a locale of C, where Python takes it for bytes."""
    return os.fsencode(argument).decode(errors="replace")


def _keep(text: str) -> int | timedelta:
    """``10000`` as a number of messages, ``12h`` and ``30d`` as a time."""
    number = int(text.rstrip("hd"))
    if text.endswith("h"):
        return timedelta(hours=number)
    return timedelta(days=number) if text.endswith("d") else number


def _help(parser: argparse.ArgumentParser) -> int:
    """No command was given: which there are."""
    parser.print_help(sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nbchat", description="Chat between notebooks and terminals.")
    parser.add_argument("--version", action="version", version=f"nbchat {nbchat.__version__}")
    parser.set_defaults(run=lambda _: _help(parser))
    commands = parser.add_subparsers(metavar="COMMAND")

    serve = commands.add_parser("serve", help="start a chat on this machine")
    serve.add_argument(
        "name", nargs="?", type=_text, metavar="NAME", help="the chat's name; with one, its history is kept"
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
        type=_text,
        help="a link or a chat's name; - reads the link from standard input, so that nobody sees it in the "
        "list of processes (default: the link in the variable NBCHAT_URL, else this machine's chat)",
    )
    join.add_argument("--name", type=_text, help="your name (default: your login name)")
    join.add_argument("--room", type=_text, default="lobby", help="default: lobby")
    join.set_defaults(run=_join)
    return parser
