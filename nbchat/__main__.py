"""python -m nbchat is the nbchat command."""

import sys

from nbchat.ui.cli import main

sys.exit(main())
