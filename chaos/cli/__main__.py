"""Starts `petrel`, also as `python -m chaos.cli`. Imports little itself: a lack of memory is one line here too."""

import os
import sys


def main() -> int:
    """Run one command; returns its exit status. 70 where not even the command line can be read into memory."""
    try:
        from chaos.cli.petrel import main as petrel
    except (MemoryError, ImportError) as error:
        os.write(2, f"petrel: {'out of memory' if isinstance(error, MemoryError) else error}\n".encode())
        return 70
    return petrel()


if __name__ == "__main__":
    sys.exit(main())
