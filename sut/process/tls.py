"""TLS towards clients: one context for gateways and the API. TLS 1.2 or newer, no compression, no renegotiation.

Session tickets stay on. After a gateway's crash thousands of devices come back at once, and a resumed handshake costs
a tenth of a full one.
"""

from __future__ import annotations

import ssl

from sut.deploy.topology import Tls
from sut.ports import SutError


class TlsError(SutError):
    """A certificate or key that cannot be used; the text names the files."""

    definite = True


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return a context for listeners. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"{tls.certificate} with {tls.key}: {error.strerror or error}") from None
    return context
