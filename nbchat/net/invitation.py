"""An invitation as a picture: the link's QR code, for a projector or a terminal."""

from __future__ import annotations

import html
import io
from typing import Any

import segno

_QUIET = 4
"""Light modules around the code, which readers need to find it."""
_WIDTH = "30rem"


class Invitation:
    """What ``server.invite(qr=True)`` returns. As a cell's value, in IPython and with ``print()`` it shows
    the link and its QR code; its repr does not tell the secret. ``link`` is the link as text."""

    def __init__(self, link: str) -> None:
        self.link = link
        self._code = segno.make(link, micro=False)

    def __str__(self) -> str:
        return f"{self.link}\n\n{self._blocks()}"

    def __repr__(self) -> str:
        return f"<nbchat invitation to {self.link.partition('#')[0]}; print() shows it>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        link = html.escape(self.link)
        out = io.BytesIO()
        self._code.save(
            out, kind="svg", xmldecl=False, svgns=True, omitsize=True, nl=False, border=_QUIET,
            dark="#000", light="#fff", svgclass=None, lineclass=None,
        )  # fmt: skip
        picture = out.getvalue().decode().replace(
            "<svg ", f'<svg role="img" aria-label="QR code of the link below" style="width:100%;max-width:'
            f'{_WIDTH};height:auto;display:block" ', 1,
        )  # fmt: skip
        return (
            f"<figure style='margin:0'>{picture}<figcaption style='overflow-wrap:anywhere'>"
            f"<code>{link}</code></figcaption></figure>"
        )

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
