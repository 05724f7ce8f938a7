"""``python -m benchmark``."""

import sys

from benchmark.core.process import endings, surroundings


def main() -> None:
    """Run the command line. Whatever stops it, from the first import on, is told once."""
    surroundings.prepare()
    endings.listen()
    try:
        from benchmark.commands.app import main as command_line

        command_line()
    except (endings.Stopped, KeyboardInterrupt) as stop:
        sys.exit(endings.tell(stop))


if __name__ == "__main__":
    main()
