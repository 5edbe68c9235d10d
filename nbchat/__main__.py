"""python -m nbchat: the nbchat command or, with ``--child``, the process behind ``serve(process=True)``."""

import sys


def _main() -> int:
    if sys.argv[1:] == ["--child"]:
        from nbchat.server.runner import worker

        return worker.main()
    from nbchat.ui import cli

    return cli.main()


sys.exit(_main())
