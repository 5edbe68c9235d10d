"""What Tab completes in a terminal: the slash commands, and members' names after ``@`` and in a command."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from nbchat.client.client import Client
from nbchat.core import names
from nbchat.ui.commands import COMMANDS


class Names(Completer):
    """Completes for one client, from what it knows at that moment."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        for typed, text in completions(self._client, document.text_before_cursor):
            yield Completion(text, start_position=-len(typed))


def completions(client: Client, before: str) -> Iterator[tuple[str, str]]:
    """What was typed last, and what can stand in its place; ``before`` is the line up to the caret."""
    word, blank, rest = before.partition(" ")
    if word.startswith("/") and not word.startswith("//"):
        if not blank:
            yield from _commands(client, word)
            return
        command = COMMANDS.get(word[1:].lower())
        if command is None:
            return
        if command.usage == "/announce on":
            yield from ((rest, each) for each in ("on", "off") if each.startswith(rest.lower()))
        elif "bob" in f"{command.usage} {command.help}":
            rest = rest.removeprefix("@")
            yield from ((rest, f"{name} ") for name in _members(client, rest))
        return
    begin = before.rfind("@")
    if begin < 0 or (begin > 0 and (before[begin - 1].isalnum() and before[begin - 1].isascii())):
        return  # none, or an address of mail
    typed = before[begin + 1 :]
    yield from ((typed, f"{name} ") for name in _members(client, typed))


def _commands(client: Client, word: str) -> Iterator[tuple[str, str]]:
    for each, command in COMMANDS.items():
        if each.startswith(word[1:].lower()) and (client.role == "host" or not command.for_hosts):
            yield word, f"/{each}{' ' if ' ' in command.usage else ''}"


def _members(client: Client, typed: str) -> list[str]:
    """Who is meant by the beginning of a name, or of a later word of it; oneself comes last."""
    key = _bare(typed)
    found: list[str] = []
    for member in client.members:
        name = str(member)
        folded = _bare(name)
        if folded.startswith(key) or (key and any(part.startswith(key) for part in folded.split())):
            found.append(name)
    return sorted(found, key=lambda name: (name == client.name, _bare(name)))


def _bare(name: str) -> str:
    """A name without case and accents, which not every keyboard has."""
    parts = unicodedata.normalize("NFD", names.skeleton(name))
    return "".join(char for char in parts if unicodedata.category(char) != "Mn")
