"""Known weaknesses in what is installed: what pip-audit says, or that it had nobody to ask."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

COMMAND = (sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner=off", "--format=json")


def main(command: Sequence[str] = COMMAND) -> int:
    """The exit status: 1 when there are weaknesses, else 0; that nobody could be asked is no weakness."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"Nothing was looked up: the advisory service cannot be reached from here ({last[:200]}).")
        return 0
    asked = [each for each in found if "skip_reason" not in each]
    if not asked:
        print(f"Nothing was looked up: the advisory service knows none of the {len(found)} packages.")
        return 0
    weak = [(each, vuln) for each in asked for vuln in each["vulns"]]
    for each, vuln in weak:
        fixed = ", ".join(vuln.get("fix_versions") or ["nothing yet"])
        print(f"{each['name']} {each['version']}: {vuln['id']}, mended in {fixed}")
    missing = len(found) - len(asked)
    print(f"{len(asked)} packages were looked up, {missing} could not be: {len(weak)} weaknesses.")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
