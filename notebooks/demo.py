"""Open the demo notebooks in JupyterLab: python notebooks/demo.py (or make demo).

Works as root and without a browser: then the address that is printed can be opened elsewhere.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8888)
    parser.add_argument("--no-browser", action="store_true")
    parsed = parser.parse_args()

    from jupyterlab.labapp import LabApp

    # So that a terminal in there finds the command nbchat. No login shell, which it would be if this one has
    # no terminal itself: that begins with a PATH of its own.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    shell = [] if sys.platform == "win32" else [os.environ.get("SHELL") or "sh"]
    # Copies, so that playing with them changes nothing here.
    with tempfile.TemporaryDirectory(prefix="nbchat-demo-") as folder:
        for notebook in HERE.glob("*.ipynb"):
            shutil.copy(notebook, folder)
        print("Open the notebook 01-first-chat.ipynb and run its cells; then 02-second-notebook.ipynb.")
        print("Ctrl-C ends the demo.", flush=True)
        LabApp.launch_instance(
            [
                "--allow-root",
                f"--ServerApp.root_dir={folder}",
                f"--ServerApp.port={parsed.port}",
                "--LabApp.default_url=/lab/tree/01-first-chat.ipynb",
                "--ServerApp.log_level=WARN",
                *([f"--ServerApp.terminado_settings={ {'shell_command': shell} }"] if shell else []),
                *(["--no-browser"] if parsed.no_browser else []),
            ]
        )


if __name__ == "__main__":
    sys.exit(main())
