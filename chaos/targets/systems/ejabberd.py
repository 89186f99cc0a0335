"""ejabberd: rooms (XEP-0045) with an archive (XEP-0313) over WebSocket, with stream management (XEP-0198).

A room sends each message back to its author with the id that the archive gave it: that is the answer to a send. A
client that comes back resumes its stream. Where the server does not know the stream any more, the client joins again
and asks the archive for what came after the last id that it has.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import aiohttp

from chaos.targets.target import HOST, Answers, Inbox, Message, NotHere, Place, Refused, Target, end_tasks, hang_up

LIBRARIES: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")
DOMAIN: Final = "localhost"
ROOMS: Final = "conference.localhost"
PASSWORD: Final = "petrel"  # noqa: S105 (of a server of this run on the loopback)
HEARTBEAT_S: Final = 3.0
"""A client pings by WebSocket this often, and gives up a connection that does not answer."""
PAGE: Final = 100
CLIENT: Final = "{jabber:client}"
STAMP: Final = "{urn:xmpp:sid:0}stanza-id"
"""Its id is the archive's: the time in microseconds, and one more where two messages have the same."""
STREAMS: Final = "{urn:xmpp:sm:3}"
CONFIG: Final = """\
hosts: [localhost]
loglevel: warning
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers: {{/ws: ejabberd_http_ws, /api: mod_http_api}}
auth_method: internal
auth_password_format: plain
disable_sasl_mechanisms: ["X-OAUTH2"]
websocket_timeout: 30
api_permissions:
  "loopback": {{from: [mod_http_api], who: {{ip: 127.0.0.1/8}}, what: [register, create_room_with_opts]}}
modules:
  mod_mam: {{assume_mam_usage: true, default: always, db_type: mnesia}}
  mod_muc:
    db_type: mnesia
    history_size: 0
    default_room_options: {{mam: true, persistent: true, members_only: false, anonymous: false}}
  mod_muc_admin: {{}}
  mod_stream_mgmt: {{resume_timeout: 60, resend_on_timeout: false}}
shaper: {{}}
"""


class Ejabberd(Target):
    """One client of ejabberd."""

    start_s = 120.0

    def __init__(self, place: Place, user: str, rooms: Sequence[str]) -> None:
        super().__init__(place, user, rooms)
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._inbox = Inbox()
        self._answers = Answers[str, ET.Element]()
        self._ids = itertools.count(1)
        self._stream = ""
        """The id by which this client may resume its stream."""
        self._heard = 0
        """Stanzas of the stream so far."""
        self._last: dict[str, str] = {}
        """The id of the last message of each room."""
        self._late: dict[str, list[tuple[str, str]]] = {}
        """Messages (id, text) that came while the archive was read, by room: only rooms of which it is not yet read."""
        self._pages: dict[str, list[tuple[str, str]]] = {}

    @classmethod
    def command(cls, place: Place) -> Sequence[str]:
        """Write the configuration and return the command line: the Erlang node itself, without ejabberdctl."""
        found = next((path for base in LIBRARIES for path in Path(base).glob("ejabberd-*/ebin")), None)
        erl = shutil.which("erl")
        if found is None or erl is None:
            raise NotHere("no ejabberd here: apt install ejabberd (its system service is not needed)")
        config = place.directory / "ejabberd.yml"
        config.write_text(CONFIG.format(port=place.listen))
        data, log = place.directory / "mnesia", place.directory / "ejabberd.log"
        data.mkdir(exist_ok=True)
        return (
            "env", f"EJABBERD_CONFIG_PATH={config}", f"EJABBERD_LOG_PATH={log}", f"HOME={place.directory}",
            erl, "-noinput", "-pa", str(found), "-mnesia", "dir", f'"{data}"', "-s", "ejabberd",
        )  # fmt: skip

    @classmethod
    async def prepare(cls, place: Place, members: Mapping[str, Sequence[str]]) -> None:
        """Register the users and make the rooms."""
        base = f"http://{HOST}:{place.port}/api"
        async with aiohttp.ClientSession() as http:
            for user in dict.fromkeys(user for users in members.values() for user in users):
                body: dict[str, object] = {"user": user, "host": DOMAIN, "password": PASSWORD}
                async with http.post(f"{base}/register", json=body) as response:
                    response.raise_for_status()
            for room in members:
                options = [{"name": "persistent", "value": "true"}, {"name": "mam", "value": "true"}]
                body = {"name": room, "service": ROOMS, "host": DOMAIN, "options": options}
                async with http.post(f"{base}/create_room_with_opts", json=body) as response:
                    response.raise_for_status()

    async def connect(self) -> None:
        """Connect, log in, join all rooms, and read what this client lacks from the archive."""
        await self._log_in()
        await self._fresh()

    async def reconnect(self) -> None:
        """Resume the stream; else join again and read the archive."""
        await self._log_in()
        if self._stream:
            await self._say(f"<resume xmlns='urn:xmpp:sm:3' previd='{self._stream}' h='{self._heard}'/>")
            if (await self._next()).tag == f"{STREAMS}resumed":
                self._serve()
                return
        await self._fresh()

    async def _log_in(self) -> None:
        await self.close()
        self._inbox = Inbox()
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(
            f"ws://{HOST}:{self.place.port}/ws", protocols=["xmpp"], heartbeat=HEARTBEAT_S
        )
        await self._open()
        secret = base64.b64encode(f"\0{self.user}\0{PASSWORD}".encode()).decode()
        await self._say(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        if not (answer := await self._next()).tag.endswith("}success"):
            raise ConnectionError(f"login: {answer.tag}")
        await self._open()

    async def _open(self) -> None:
        await self._say(f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>")
        while not (await self._next()).tag.endswith("}features"):
            pass

    async def _fresh(self) -> None:
        """Begin a new stream. Live messages wait until those before them are read from the archive."""
        self._stream = ""
        await self._say(
            "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
        )
        await self._next()
        await self._say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        enabled = await self._next()
        if enabled.tag == f"{STREAMS}enabled":
            self._stream, self._heard = enabled.get("id", ""), 0
        self._late = {room: [] for room in self.rooms}
        self._serve()
        for room in self.rooms:
            await self._asked(
                f"<presence xmlns='jabber:client' to='{room}@{ROOMS}/{self.user}' id='%s'>"
                "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
            )
        for room in self.rooms:
            missed = await self._archive(room, self._last[room]) if room in self._last else []
            late = self._late.pop(room)
            for number, text in dict([*missed, *late]).items():
                self._show(room, number, text)

    def _serve(self) -> None:
        assert self._socket is not None
        self._reader = asyncio.create_task(self._read(self._socket, self._inbox))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, inbox: Inbox) -> None:
        try:
            while (stanza := await self._next_of(socket)) is not None:
                if stanza.tag == f"{STREAMS}r":
                    await socket.send_str(f"<a xmlns='urn:xmpp:sm:3' h='{self._heard}'/>")
                elif stanza.tag.startswith(CLIENT):
                    self._heard += 1
                    self._hear(stanza)
        finally:
            inbox.end()
            self._answers.end()

    def _hear(self, stanza: ET.Element) -> None:
        room = (stanza.get("from") or "").partition("@")[0]
        result = stanza.find("{urn:xmpp:mam:2}result")
        body, stamp = stanza.find(f"{CLIENT}body"), stanza.find(STAMP)
        if result is not None:  # of the archive
            text = result.findtext(f".//{CLIENT}body")
            if text is not None:
                self._pages.setdefault(result.get("queryid", ""), []).append((result.get("id", ""), text))
        elif stanza.get("type") == "groupchat" and body is not None and stamp is not None:
            number = stamp.get("id", "")
            if room in self._late:
                self._late[room].append((number, body.text or ""))
            else:
                self._show(room, number, body.text or "")
        self._answers.settle(stanza.get("id") or "", stanza)

    def _show(self, room: str, number: str, text: str) -> None:
        self._last[room] = number
        self._inbox.put(Message(room, text, int(number)))

    async def _archive(self, room: str, after: str) -> list[tuple[str, str]]:
        """Return (id, text) of every archived message of the room after that id; "": all."""
        found: list[tuple[str, str]] = []
        while True:
            query = f"q{next(self._ids)}"
            since = f"<after>{escape(after)}</after>" if after else ""
            answer = await self._asked(
                f"<iq xmlns='jabber:client' type='set' to='{room}@{ROOMS}' id='%s'>"
                f"<query xmlns='urn:xmpp:mam:2' queryid='{query}'><set xmlns='http://jabber.org/protocol/rsm'>"
                f"<max>{PAGE}</max>{since}</set></query></iq>"
            )
            fin = answer.find("{urn:xmpp:mam:2}fin")
            if answer.get("type") != "result" or fin is None:
                raise ConnectionError(f"archive of {room}: {ET.tostring(answer).decode()[:300]}")
            found += self._pages.pop(query, [])
            last = fin.findtext("{http://jabber.org/protocol/rsm}set/{http://jabber.org/protocol/rsm}last")
            if fin.get("complete") == "true" or not last:
                return found
            after = last

    async def _asked(self, stanza: str) -> ET.Element:
        """Send a stanza with an id of its own in the place of %s, and return the answer."""
        name = f"{self.user}-{next(self._ids)}"  # a room passes the author's id on to all, so it must be nobody else's
        answer = self._answers.expect(name)
        await self._say(stanza % name)
        return await answer

    def events(self) -> AsyncIterator[Message]:
        """Yield what is shown: live messages, and those of the archive in their place."""
        return self._inbox.all()

    async def send(self, room: str, text: str) -> int:
        """Send to the room and wait until the room has sent it back, which is when it is in the archive."""
        answer = await self._asked(
            f"<message xmlns='jabber:client' to='{room}@{ROOMS}' type='groupchat' id='%s'>"
            f"<body>{escape(text)}</body></message>"
        )
        if answer.get("type") == "error":
            raise Refused(ET.tostring(answer).decode()[-200:])
        stamp = answer.find(STAMP)
        return 0 if stamp is None else int(stamp.get("id", "0"))

    async def history(self, room: str) -> Sequence[Message]:
        """Return the room's archive."""
        return [Message(room, text, int(number)) for number, text in await self._archive(room, "")]

    async def _say(self, text: str) -> None:
        assert self._socket is not None
        await self._socket.send_str(text)

    async def _next(self) -> ET.Element:
        assert self._socket is not None
        stanza = await self._next_of(self._socket)
        if stanza is None:
            raise ConnectionError("the connection ended")
        return stanza

    @staticmethod
    async def _next_of(socket: aiohttp.ClientWebSocketResponse) -> ET.Element | None:
        """Return the next stanza; None when the connection has ended."""
        frame = await socket.receive()
        if frame.type != aiohttp.WSMsgType.TEXT:
            return None
        stanza = ET.fromstring(frame.data)  # noqa: S314 (from the server that this run started)
        return None if stanza.tag.endswith("}close") else stanza

    async def close(self) -> None:
        """Drop the connection, as a client does that lost its network: the stream may be resumed."""
        await end_tasks(self._reader)
        await hang_up(self._http)
        self._reader = self._http = None
