"""make chaos: one run of the machine, with its numbers as arguments."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from tests.chaos.machine import Machine, Plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for field in dataclasses.fields(Plan):
        kind = {"int": int, "float": float}.get(str(field.type), str)
        parser.add_argument(f"--{field.name}", type=kind, default=field.default, metavar="N")
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="nbchat-chaos-") as folder:
        outcome = Machine(plan, Path(folder), lambda line: print(line, flush=True)).run()
    print(outcome)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
