"""An invitation as a picture: the link's QR code, for a projector or a terminal, and the cell to paste."""

from __future__ import annotations

import html
import io
import time
from datetime import UTC, datetime
from typing import Any

import segno

from nbchat.net.link import is_loopback, parse

_QUIET = 4
"""Light modules around the code, which readers need to find it."""
_WIDTH = "30rem"
_LINE = (
    "display:block;white-space:pre;overflow-x:auto;user-select:all;padding:.4em .6em;margin:.2em 0;"
    "border:1px solid var(--jp-border-color1,#bbb);background:var(--jp-layout-color2,rgba(128,128,128,.12));"
    "color:var(--jp-content-font-color1,inherit)"
)
"""What is to be copied: never broken over lines, taken whole by one click where no script runs."""
# The page's clipboard asks for a secure page; elsewhere the text is selected, for Ctrl-C.
_COPY = (
    "const t=this.parentNode.parentNode.querySelector('code'),b=this,o=b.textContent,"
    "say=w=>{b.textContent=w;setTimeout(()=>b.textContent=o,2000)},"
    "take=()=>{getSelection().selectAllChildren(t);"
    "say(document.execCommand('copy')?'Copied':'Press Ctrl-C')};"
    "navigator.clipboard?navigator.clipboard.writeText(t.textContent).then(()=>say('Copied'),take):take()"
)


class Invitation:
    """What ``server.invite(qr=True)`` returns. As a cell's value, in IPython and with ``print()`` it shows
    the link and its QR code; its repr does not tell the secret. ``link`` is the link as text, ``call`` the
    line to run in a notebook; ``ends`` is when it ends, in seconds since 1970."""

    def __init__(self, link: str, ends: float | None = None) -> None:
        self.link = link
        self.ends = ends
        self._code = segno.make(link, micro=False)

    @property
    def call(self) -> str:
        """What somebody types in a notebook to join."""
        return f'nbchat.join("{self.link}")'

    @property
    def width(self) -> int:
        """Columns that the picture takes in a terminal."""
        return int(self._code.symbol_size(border=_QUIET)[0])

    def __str__(self) -> str:
        return f"{self.link}\n\n{self._blocks()}"

    def __repr__(self) -> str:
        return f"<nbchat invitation to {self.link.partition('#')[0]}; print() shows it>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        out = io.BytesIO()
        self._code.save(
            out, kind="svg", xmldecl=False, svgns=True, omitsize=True, nl=False, border=_QUIET,
            dark="#000", light="#fff", svgclass=None, lineclass=None,
        )  # fmt: skip
        picture = out.getvalue().decode().replace(
            "<svg ", f'<svg role="img" aria-label="QR code of the link below" style="width:100%;max-width:'
            f'{_WIDTH};height:auto;display:block" ', 1,
        )  # fmt: skip
        cell = html.escape(f"import nbchat\n{self.call}", quote=False)
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self._notes())
        return (
            f"<figure style='margin:0;max-width:100%'>{picture}<figcaption>{notes}"
            f'<div>In a notebook, run: <button type="button" onclick="{html.escape(_COPY)}">Copy</button>'
            "</div>"
            f'<code style="{_LINE}">{cell}</code></figcaption></figure>'
        )

    def _notes(self) -> list[str]:
        """What else is to be known of it."""
        notes = []
        if self.ends is not None:
            end = datetime.fromtimestamp(self.ends, UTC).astimezone()
            hours = (self.ends - time.time()) / 3600
            notes.append(f"Ends {end:%A, %d %B, %H:%M}." if hours > 0 else f"Ended {end:%d %B, %H:%M}.")
        if is_loopback(parse(self.link).host):
            notes.append("It leads to this machine only; for others in your network: nbchat.serve(lan=True)")
        return notes

    def _blocks(self) -> str:
        """The code in half blocks, black on white whatever the terminal's own colours are."""
        rows = [list(row) for row in self._code.matrix_iter(border=_QUIET)]
        if len(rows) % 2:
            rows.append([0] * len(rows[0]))
        lines = [
            "".join(" ▀▄█"[upper + 2 * lower] for upper, lower in zip(rows[n], rows[n + 1], strict=True))
            for n in range(0, len(rows), 2)
        ]
        return "\n".join(f"\x1b[30;107m{line}\x1b[0m" for line in lines)
