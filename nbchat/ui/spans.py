"""How long, as people write it after a command: ``10``, ``10m``, ``1 h``, ``90 minutes``."""

from __future__ import annotations

import re

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)"
_AFTER = re.compile(rf"(.*\S)\s+{_SPAN}?", re.DOTALL | re.IGNORECASE)
_AFTER_WITH_UNIT = re.compile(rf"(.*\S)\s+{_SPAN}", re.DOTALL | re.IGNORECASE)


def split(text: str, *, needs_unit: bool = False) -> tuple[str, float] | None:
    """A text and the seconds that stand at its end; None if none do. A bare number means minutes."""
    match = (_AFTER_WITH_UNIT if needs_unit else _AFTER).fullmatch(text)
    if match is None or match[2] is None:
        return None
    return match[1], float(match[2]) * _UNITS[(match[3] or "m")[0].lower()]
