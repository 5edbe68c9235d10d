"""A terminal that is watched: what a program's output did to it, beside what can be read on it."""

from __future__ import annotations

import re
from typing import Any

import pyte

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-9;:?<=>!$ ]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[()*+#% ].|.|$)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]",
    re.DOTALL,
)


class Emulator(pyte.HistoryScreen):  # type: ignore[misc]
    """As wide and high as processes.Terminal; keeps what it would have written to the program's input."""

    def __init__(self, columns: int = 100, lines: int = 24) -> None:
        self.answers: list[str] = []
        self.bells = 0
        self.strange: list[object] = []
        """Sequences that this terminal does not know, but another one may."""
        super().__init__(columns, lines, history=100_000, ratio=0.5)
        self._stream = pyte.Stream(self)
        self._begin = self.manners

    def write_process_input(self, data: str) -> None:
        self.answers.append(data)

    def bell(self, *args: Any) -> None:
        self.bells += 1

    def debug(self, *args: Any, **kwargs: Any) -> None:
        self.strange.append(args)

    def show(self, text: str) -> Emulator:
        """Take a program's output; where it comes from no terminal's driver, newlines are made whole."""
        try:
            self._stream.feed(text)
        except TypeError as error:  # pyte knows the sequence, but not this form of it
            self.strange.append(error)
            self._stream = pyte.Stream(self)
        return self

    def print(self, text: str) -> Emulator:
        return self.show(text.replace("\n", "\r\n") + "\r\n")

    @property
    def manners(self) -> tuple[object, ...]:
        return self.title, self.icon_name, frozenset(self.mode), self.margins, self.charset, self.columns

    @property
    def is_untouched(self) -> bool:
        """Whether title, modes, margins and character set are what they were."""
        return self.manners == self._begin

    @property
    def rows(self) -> list[str]:
        """Everything that can be read, scrolled away or not, without the blanks at the right."""
        buffer = self.buffer  # it has no rows that nothing was drawn in
        return [*map(_text, self.history.top), *(_text(buffer.get(y, {})) for y in range(self.lines))]

    @property
    def styles(self) -> set[object]:
        """How characters are drawn, apart from what they are."""
        every = [*self.history.top, *(self.buffer[y] for y in range(self.lines))]
        return {char._replace(data="") for row in every for char in row.values() if char.data.strip()}


def _text(row: dict[int, pyte.screens.Char]) -> str:
    cells = (row[x].data if x in row else " " for x in range(max(row, default=-1) + 1))
    return "".join(cells).rstrip()


def sequences(text: str) -> set[str]:
    """The escape sequences and control characters in a program's output, but newline, return and tab;
    numbers that say where to are left out."""
    return {
        re.sub(r"\d+(?=[A-HJKPX@a-d`])", "N", found[0]) if found[0].startswith("\x1b[") else found[0]
        for found in _SEQUENCE.finditer(text)
    }
