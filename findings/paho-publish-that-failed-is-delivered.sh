#!/usr/bin/env bash
# paho-mqtt says with a code and two exceptions that a publication failed, and delivers it later.
#
# Version:   paho-mqtt 2.2.0, with a small MQTT 3.1.1 broker in this script
# Guess:     publish() without a connection returns MQTT_ERR_NO_CONN or puts the message in a queue, not both. When
#            wait_for_publish() and is_published() raise "Message publish failed", the message is gone.
# Behaviour: QoS 0 is as guessed. With QoS 1 or 2, rc is MQTT_ERR_NO_CONN and both calls raise, but the client keeps the
#            message, sends it when it connects, and calls on_publish. A caller who publishes again after the error has
#            the message delivered twice, under two message ids, so QoS 2 does not help.
# Seen:      QoS 0: rc 4, raised "Message publish failed: The client is not currently connected."    delivered 0 times
#            QoS 1: rc 4, raised "Message publish failed: The client is not currently connected."    delivered 2 times
#            QoS 2: rc 4, raised "Message publish failed: The client is not currently connected."    delivered 2 times
#            each was published, and published again after the error
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.2.0

"$work/venv/bin/python" - <<'PY'
import collections
import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt

CONNECT, PUBLISH, PUBREL, PINGREQ = 1, 3, 6, 12


class Broker:
    """Accepts every client and acknowledges what it publishes. Counts the texts."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.delivered = collections.Counter()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        connection, _ = self.listener.accept()
        stream = connection.makefile("rwb")
        while first := stream.read(1):
            length = shift = 0
            while True:
                (byte,) = stream.read(1)
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            self.answer(first[0], stream.read(length), stream)
            stream.flush()

    def answer(self, first, body, stream):
        kind, qos = first >> 4, first >> 1 & 3
        if kind == CONNECT:
            stream.write(b"\x20\x02\x00\x00")
        elif kind == PUBLISH:
            rest = body[2 + int.from_bytes(body[:2], "big"):]
            if qos:
                stream.write((b"\x40\x02" if qos == 1 else b"\x50\x02") + rest[:2])
                rest = rest[2:]
            self.delivered[rest.decode()] += 1
        elif kind == PUBREL:
            stream.write(b"\x70\x02" + body[:2])
        elif kind == PINGREQ:
            stream.write(b"\xd0\x00")


def error_of(call, *arguments):
    try:
        call(*arguments)
    except RuntimeError as error:
        return str(error)
    return "nothing"


broker = Broker()
done = []
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="phone")
client.on_publish = lambda client, userdata, mid, reason, properties: done.append(mid)
said = {}
for qos in (0, 1, 2):
    for _ in range(2):
        info = client.publish("room", f"QoS {qos}", qos=qos)
        said[qos] = (int(info.rc), error_of(info.wait_for_publish, 0.1), error_of(info.is_published))
client.connect("127.0.0.1", broker.port)
client.loop_start()
end = time.monotonic() + 10
while time.monotonic() < end and (sum(broker.delivered.values()) < 4 or len(done) < 4):
    time.sleep(0.1)
time.sleep(0.5)
client.loop_stop()
for qos, (rc, waited, asked) in said.items():
    times = broker.delivered[f"QoS {qos}"]
    print(f'QoS {qos}: rc {rc}, raised "{waited if waited == asked else (waited, asked)}"    delivered {times} times')
print("each was published, and published again after the error")
failed = (4, *["Message publish failed: The client is not currently connected."] * 2)
same = said == dict.fromkeys((0, 1, 2), failed) and broker.delivered == {"QoS 1": 2, "QoS 2": 2} and len(done) == 4
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
