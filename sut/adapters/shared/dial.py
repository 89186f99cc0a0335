"""Blocking connections of probes to a server, by TLS where the server's login says so."""

from __future__ import annotations

import socket
import ssl

from sut.deploy.logins import Login

Address = tuple[str, int]


def dial(address: Address, timeout_s: float, login: Login | None) -> socket.socket:
    """Connect, and begin TLS. Raises OSError, whose text says in one line what is wrong with TLS."""
    connection = socket.create_connection(address, timeout_s)
    if login is None or login.tls is None:
        return connection
    return begin_tls(connection, login.tls.context(address))


def begin_tls(connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
    """Begin TLS on a connection, or close it. Raises OSError, as `dial` does."""
    try:
        return context.wrap_socket(connection)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise OSError(f"its certificate cannot be trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        connection.close()
        raise OSError(f"no TLS with it: {(error.reason or str(error)).lower().replace('_', ' ')}") from None
    except BaseException:
        connection.close()
        raise
