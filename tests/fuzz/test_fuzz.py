"""Twenty seconds of the fuzzer, with the same seeds each time; ``make fuzz`` takes ten minutes and new ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.__main__ import properties, run


@pytest.mark.parametrize("checked", properties(), ids=lambda each: each.__name__)
def test_only_documented_errors(checked: Callable[[], None]) -> None:
    assert run(checked, 20 / len(properties()), first=0) >= 50
