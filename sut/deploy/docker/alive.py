"""The image's health check: exit status 0 if each address in $PETREL_ALIVE (HOST:PORT, spaces between) accepts.

Runs with the standard library only, every 30 s in every container.
"""

import os
import socket
import sys

TIMEOUT_S = 2.0


def main() -> int:
    """Return the exit status: 1 names the address that refuses."""
    for address in os.environ.get("PETREL_ALIVE", "").split():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), TIMEOUT_S).close()
        except OSError as error:
            sys.stdout.write(f"{address}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
