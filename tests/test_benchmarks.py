"""The benchmark in small: the load counts right, and nbchat's server is ahead by ratios that hold anywhere.

Ratios only, of medians, and well below what a quiet machine shows: a busy one slows all servers alike.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the benchmark's load needs Linux (epoll)"
    ),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the benchmark's load needs a C compiler (cc)"),
]


@pytest.mark.parametrize(
    ("load", "rival", "wanted"),
    [
        pytest.param("flight 256", "streams", 10, id="256 in flight, a write for each client"),
        pytest.param("flight 10", "threads", 2, id="10 in flight, a thread for each client"),
    ],
)
def test_is_ahead(load: str, rival: str, wanted: float, tmp_path: Path) -> None:
    """nbchat's deliveries by a rival's, with 300 members in one room, three times in turn; every member must
    get all, once."""
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "chat.py", "--json", "--only", f"own,{rival}",
         "--shape", "300x1", "--load", load, "--time", "0.4", "--repeats", "3", "--folder", tmp_path],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rates: dict[str, list[float]] = {"own": [], rival: []}
    for row in json.loads(ran.stdout):
        assert row["whole"], row
        rates[row["server"]].append(row["rate"])
    assert [len(each) for each in rates.values()] == [3, 3]
    assert median(rates["own"]) >= wanted * median(rates[rival]), rates
