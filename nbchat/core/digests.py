"""Sessions as servers know and keep them: by digests. Only its client has the word itself.

Who reads a history, or a server's memory, cannot come back as somebody.
"""

from __future__ import annotations

import hashlib


def digest(session: str) -> str:
    """What a server knows a session by. The word is made of 16 random bytes: nobody finds one by trying."""
    return hashlib.sha256(session.encode()).hexdigest()[:32]
