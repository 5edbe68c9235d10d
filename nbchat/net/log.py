"""The log ``nbchat``: what it passes on does nothing to the screen or the file it ends in."""

from __future__ import annotations

import logging

from nbchat.core.escape import indented, visible


def _harmless(record: logging.LogRecord) -> bool:
    """What a stranger's words in a record would do is shown, and no further line can pass for a record."""
    try:
        said = record.getMessage()
    except Exception:  # logging itself says what is wrong with such a call
        return True
    if said != (shown := indented(said)):
        record.msg, record.args = shown, ()
    if record.exc_info and not record.exc_text:  # a formatter uses the text where there is one
        record.exc_text = visible(logging.Formatter().formatException(record.exc_info))
    return True


log = logging.getLogger("nbchat")
log.addFilter(_harmless)
