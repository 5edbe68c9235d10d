"""Browser tests run where there is a Chromium; where there is none the last lines say so."""

from __future__ import annotations

import os

import pytest

from tests.ui.lab import CHROMIUM

_LEFT_OUT = (
    "The browser tests were left out: no Chromium was found on this machine. "
    "Install it (Debian: apt-get install chromium) to run them."
)
_left_out: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is not None:
        return
    for item in items:
        if item.get_closest_marker("browser") is None:
            continue
        if os.environ.get("NBCHAT_REQUIRE_BROWSER") == "1":
            raise pytest.UsageError("NBCHAT_REQUIRE_BROWSER=1, but no Chromium was found on this machine.")
        item.add_marker(pytest.mark.skip(reason="no Chromium"))
        _left_out.append(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own summary: these are the last lines."""
    if _left_out:
        print(f"\n{_LEFT_OUT} ({len(_left_out)} tests)")
