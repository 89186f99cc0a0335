#!/usr/bin/env bash
# cassandra-driver takes ssl_options={"cert_reqs": ...}, and the value never changes what is verified.
#
# Version:   cassandra-driver 3.30.1
# Guess:     ssl_options are those of ssl.wrap_socket(). With "cert_reqs": ssl.CERT_NONE a certificate is not verified,
#            as before 3.29, and the other settings of the context are Python's.
# Behaviour: The value is assigned to SSLContext.options instead of verify_mode. A certificate is always verified, so a
#            cluster with a private authority is NoHostAvailable. CERT_REQUIRED (2) clears the options that Python sets:
#            among them are no SSLv3 and no compression.
# Seen:      asked CERT_NONE: verify_mode CERT_REQUIRED, connected no (certificate verify failed)
#            asked CERT_REQUIRED: verify_mode CERT_REQUIRED, OP_NO_COMPRESSION False (Python's own: True)
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cassandra-driver==3.30.1 pyasyncore==1.0.4
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.log"

"$work/venv/bin/python" - "$work" <<'PY'
import logging
import socket
import ssl
import sys
import threading
from pathlib import Path

from cassandra.cluster import Cluster, NoHostAvailable
from cassandra.connection import DefaultEndPoint
from cassandra.io.asyncioreactor import AsyncioConnection

logging.disable(logging.CRITICAL)
work = Path(sys.argv[1])
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(work / "cert.pem", work / "key.pem")
shaken = []


def serve(listener):
    """A server of TLS that notes how each handshake ended, and says nothing."""
    while True:
        plain, _ = listener.accept()
        try:
            server.wrap_socket(plain, server_side=True).close()
            shaken.append("a whole handshake")
        except (ssl.SSLError, OSError) as error:
            shaken.append(type(error).__name__)


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
port = listener.getsockname()[1]


class Kept(AsyncioConnection):
    """Keeps the context that the driver has built."""

    contexts = []

    def _wrap_socket_from_context(self):
        self.contexts.append(self.ssl_context)
        return super()._wrap_socket_from_context()


def asked(cert_reqs):
    """What a cluster with this setting does, and the context that it used."""
    Kept.contexts.clear()
    cluster = Cluster(
        [DefaultEndPoint("127.0.0.1", port)],
        ssl_options={"cert_reqs": cert_reqs},
        connection_class=Kept,
        protocol_version=4,
        connect_timeout=5,
    )
    try:
        cluster.connect()
        return "connected", Kept.contexts[0]
    except NoHostAvailable as error:
        return str(next(iter(error.errors.values()))), Kept.contexts[0]
    finally:
        cluster.shutdown()


none, context = asked(ssl.CERT_NONE)
print(f"asked CERT_NONE: verify_mode {context.verify_mode.name}; {none[:110]}")
required, other = asked(ssl.CERT_REQUIRED)
kept = bool(other.options & ssl.OP_NO_COMPRESSION)
own = bool(ssl.create_default_context().options & ssl.OP_NO_COMPRESSION)
print(f"asked CERT_REQUIRED: verify_mode {other.verify_mode.name}, OP_NO_COMPRESSION {kept} (Python's own: {own})")
same = (
    context.verify_mode is ssl.CERT_REQUIRED
    and "certificate verify failed" in none
    and "a whole handshake" not in shaken
    and own
    and not kept
)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
