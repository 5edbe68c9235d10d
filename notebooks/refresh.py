"""Run the notebooks and write their outputs into them: python notebooks/refresh.py (or make notebooks)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbclient
import nbformat

import nbchat

HERE = Path(__file__).parent


def refresh(path: Path) -> None:
    """Execute one notebook in place; widget state and times of execution are left out."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, record_timing=False, store_widget_state=False).execute()
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(JUPYTER_RUNTIME_DIR=folder, XDG_DATA_HOME=folder)
        with nbchat.serve(port=0) as server:
            os.environ["NBCHAT_URL"] = server.invite()
            for path in sorted(HERE.glob("*.ipynb")):
                refresh(path)


if __name__ == "__main__":
    main()
