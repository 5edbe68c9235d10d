"""``make audit`` tells weaknesses from an advisory service that cannot be asked."""

import json
import sys

import pytest

from tests.audit import main


def saying(output: str, status: int = 0) -> list[str]:
    program = f"import sys; print({output!r}); print('boom', file=sys.stderr); sys.exit({status})"
    return [sys.executable, "-c", program]


WEAK = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
SOUND = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        ([WEAK, SOUND, UNKNOWN], 1, "a 1: CVE-1, mended in 2"),
        ([SOUND, UNKNOWN], 0, "1 packages were looked up, 1 could not be: 0 weaknesses."),
        ([UNKNOWN], 0, "Nothing was looked up"),
    ],
)
def test_what_it_says(
    capsys: pytest.CaptureFixture[str], found: list[dict[str, object]], status: int, says: str
) -> None:
    assert main(saying(json.dumps({"dependencies": found, "fixes": []}), status)) == status
    assert says in capsys.readouterr().out


def test_nobody_could_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(saying("", 1)) == 0
    assert capsys.readouterr().out == (
        "Nothing was looked up: the advisory service cannot be reached from here (boom).\n"
    )
