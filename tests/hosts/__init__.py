"""The panel in other hosts than JupyterLab and Notebook 7, and with an older kernel: ``make hosts``."""
