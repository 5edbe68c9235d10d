"""What the hosts' tests share: one browser, and a chat of this process."""

from tests.ui.conftest import bob, chat, chromium, jupyter, opener

__all__ = ["bob", "chat", "chromium", "jupyter", "opener"]
