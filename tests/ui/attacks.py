"""What somebody malicious may write for a terminal: to act on it, to hide something, to be somebody else."""

from __future__ import annotations

_KEY = "boss: give me your key"

ACTING: dict[str, str] = {
    "title": "\x1b]0;owned\x07", "title 2": "\x1b]2;owned\x1b\\", "icon": "\x1b]1;owned\x07",
    "title C1": "\x9d0;owned\x9c", "title read back": "\x1b[21t", "title pushed": "\x1b[22;0t",
    "clipboard": "\x1b]52;c;b3duZWQ=\x07", "clipboard asked": "\x1b]52;c;?\x07", "palette": "\x1b]4;1;#000000\x07",
    "colours asked": "\x1b]10;?\x07\x1b]11;?\x1b\\", "palette of Linux": "\x1b]P0000000",
    "link": "\x1b]8;;https://x.invalid/\x1b\\press\x1b]8;;\x1b\\", "notification": "\x1b]9;owned\x07\x1b]777;notify;a;b\x07",
    "file": "\x1b]1337;File=name=eA==;inline=1:AAAA\x07", "folder": "\x1b]7;file://x.invalid/etc\x07",
    "shell mark": "\x1b]133;C\x07", "cursor asked": "\x1b[6n", "cursor asked, private": "\x1b[?6n", "status asked": "\x1b[5n",
    "attributes asked": "\x1b[c", "attributes asked 2": "\x1b[>c", "attributes asked 3": "\x1b[=c", "attributes by ESC Z": "\x1bZ",
    "attributes C1": "\x9bc", "ENQ": "\x05", "terminfo asked": "\x1bP+q544e\x1b\\", "setting asked": "\x1bP$qm\x1b\\",
    "mode asked": "\x1b[?25$p", "version asked": "\x1b[>q", "size asked": "\x1b[18t", "window moved": "\x1b[3;0;0t",
    "answer put in": "\x1bP1$r\x1b\\", "keys defined": "\x1bP0;1|17/6c73\x1b\\", "bell": "\x07\x07\x07",
    "alternate screen": "\x1b[?1049h", "alternate screen left": "\x1b[?1049l", "mouse": "\x1b[?1000h\x1b[?1006h",
    "paste": "\x1b[?2004h", "paste off": "\x1b[?2004l", "paste ended": "\x1b[201~", "focus": "\x1b[?1004h", "cursor hidden": "\x1b[?25l",
    "no wrap": "\x1b[?7l", "insert": "\x1b[4h", "origin": "\x1b[?6h", "margins": "\x1b[5;6r", "132 columns": "\x1b[?3h",
    "reverse screen": "\x1b[?5h", "application keys": "\x1b[?1h\x1b=", "kitty keys": "\x1b[>1u", "synchronised": "\x1b[?2026h",
    "reset": "\x1bc", "soft reset": "\x1b[!p", "test picture": "\x1b#8", "charset": "\x1b(0lqk\x0e", "keyboard locked": "\x1b[2h",
    "sixel": "\x1bPq#0;2;0;0;0#0~~\x1b\\", "DCS": "\x90q~~\x9c", "APC": "\x1b_Gi=1;AAAA\x1b\\", "APC C1": "\x9fGi=1\x9c",
    "PM": "\x1b^owned\x1b\\", "PM C1": "\x9eowned\x9c", "SOS": "\x1bXowned\x1b\\", "not ended": "\x1b]0;owned", "not ended DCS": "\x1bPq",
    "only ESC": "\x1b", "print": "\x1b[5i\x1b[4i", "cleared": "\x1b[2J\x1b[H", "scrollback cleared": "\x1b[3J", "line cleared": "\x1b[2K",
    "up": f"\x1b[1A\x1b[2K\r{_KEY}", "place": f"\x1b[1;1H{_KEY}", "saved place": "\x1b7\x1b[s\x1b8\x1b[u", "scrolled": "\x1b[50S\x1b[50T\x1bM\x1bD\x1bE",
    "NEL": f"\x85{_KEY}", "IND": "\x84\x8d", "vertical": f"\x0b{_KEY}\x0c{_KEY}",
}  # fmt: skip
"""Control characters: no message of ours can have them, a foreign server's can."""

HIDING: dict[str, str] = {
    "concealed": "\x1b[8mhidden\x1b[28m", "same colour": "\x1b[30;40mhidden\x1b[0m", "true colour": "\x1b[38;2;0;0;0mhidden",
    "overwritten by CR": f"hidden\r{_KEY}", "backspaces": "hidden\b\b\b\b\b\bshown!", "deleted": "hidden\x7f\x7f", "left": "hidden\x1b[6Dshown!",
    "NUL": "hid\x00den", "CAN": "hid\x18den\x1aden",
}  # fmt: skip

UNSEEN: dict[str, str] = {
    "RLO": "\u202eyek ruoy em evig :ssob", "LRO": "\u202dx\u202c", "isolates": "\u2067x\u2066y\u2069\u2069", "marks": "a\u200e\u200f\u061cb",
    "zero width": "hi\u200bd\u2060d\ufeffen", "joiners": "a\u200db\u200cc", "soft hyphen": "a\u00adb", "fillers": "a\u3164\u115f\u1160\uffa0b",
    "tags": "".join(chr(0xE0000 + ord(char)) for char in "ignore what was said"), "selectors": "a\ufe00\ufe01\U000e0100\U000e01ef\ufe0fb",
    "more selectors": "1\ufe0f\ufe0f\ufe0e", "line separators": f"a\u2028{_KEY}\u2029{_KEY}", "grapheme joiner": "a\u034fb", "Mongolian": "a\u180b\u180eb",
    "annotation": "\ufff9a\ufffab\ufffb", "musical": "\U0001d173a\U0001d17a", "shorthand": "\U0001bca0a", "invisible operators": "a\u2061\u2062\u2063\u2064b",
    "deprecated": "\u206aa\u206f", "hieroglyph joiners": "a\U00013430b", "filler mark": "a\U00016fe4b", "no notehead": "a\U0001d159b", "unassigned": "a\ufff0\ufff8b",
}  # fmt: skip
"""What the chat lets through as text: it can be meant, so it is shown."""

POSING: dict[str, str] = {
    "newline": f"hi\n{_KEY}", "newlines": f"hi\n\n\n{_KEY}\n* boss left", "long line": "a" * 500 + f" {_KEY}", "no space": "x" * 3000 + _KEY.replace(" ", "_"),
    "spaces": "hi" + " " * 400 + _KEY, "no-break spaces": "hi" + "\u00a0" * 150 + _KEY, "tabs": "hi" + "\t" * 60 + _KEY, "tab and newline": f"hi\t\t\n\t{_KEY}",
    "wide": "李" * 150 + _KEY, "wide at the edge": "b" + "李" * 47 + "👩" * 50 + _KEY, "emoji": "❤\ufe0f" * 60 + _KEY, "family": "👨\u200d👩\u200d👧" * 30 + _KEY,
    "flags": "🇩🇪" * 60 + _KEY, "ambiguous": "─α①" * 60 + _KEY, "marks": "a" + "\u0301" * 2000 + _KEY, "marks around": "a" + "\u20dd\u0489" * 300 + _KEY,
    "many marks": ("a" + "\u0300\u0301" * 4) * 40 + _KEY, "fullwidth": f"hi\n{_KEY}".replace(":", "："), "system": "hi\nsystem: the chat has ended", "notice": "hi\n* reconnecting: type your password",
    "ours": "hi\nnbchat: type your password", "prompt": "hi\nbob> ", "joined": "ada joined the chat!", "left": "hi\nada left the chat", "deva": "\u0915\u094d\u0937" * 60 + _KEY,
    "thai": "\u0e01\u0e33\u0e49" * 90 + _KEY, "arabic": "مرحبا " * 60 + _KEY, "zalgo": "".join(f"{char}\u0316\u0317\u0318\u0319\u031c\u031d\u031e\u031f\u0320\u0324" for char in _KEY),
}  # fmt: skip

FOREIGN = {**ACTING, **HIDING}
OURS = {**UNSEEN, **POSING}
ATTACKS = {
    **FOREIGN,
    **{f"unseen: {key}": text for key, text in UNSEEN.items()},
    **{f"posing: {key}": text for key, text in POSING.items()},
}
