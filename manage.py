#!/usr/bin/env python3
"""Entry point of the operator's commands."""

import os
import sys

from fleet.stack.environment import load_local_environment


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        # Makes what the settings are read from, hence runs without them, and stays small.
        from fleet.stack.main import main as up

        sys.exit(up(sys.argv[2:]))
    # Without a database address the commands talk to the local stack, if one was started here.
    load_local_environment()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
