"""Listens for HTTP. What is no request gets one line of JSON, and no byte of it reaches the log.

aiohttp answers it with several lines that quote it, and logs it with a traceback. Whoever can connect could fill the
log, and a token in a malformed request would be in it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError, LineTooLong

from sut.process.metrics.instruments import REQUESTS
from sut.services.api.guard import answer
from sut.services.api.model import Problem

TOO_LONG: Final = "the request line or a header has over 8190 bytes"
ENCODED: Final = "body: its Content-Encoding is not supported"
MALFORMED: Final = "the request is no well-formed HTTP/1.1"
_BY_CLIENTS: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
"""What clients do to a connection; no bug of ours."""


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _BY_CLIENTS)


log = logging.getLogger("api.wire")
log.addFilter(_is_ours)


class _Talk(web.RequestHandler):
    """A client's connection, whose malformed requests get our own answer instead of aiohttp's."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what is no request; the connection closes after it. See aiohttp's RequestHandler."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        status, text = _said(exc)
        REQUESTS.labels("none", str(status)).inc()
        response = answer(Problem(text), status)
        response.force_close()
        return response


def _said(error: HttpProcessingError) -> tuple[int, str]:
    match error:
        case LineTooLong():
            return 431, TOO_LONG
        case ContentEncodingError():
            return 400, ENCODED
    return 400, MALFORMED


async def listen(
    runner: web.AppRunner, sock: socket.socket, *, secured: ssl.SSLContext | None = None, backlog: int = 128
) -> asyncio.Server:
    """Serve the application of a runner that is set up. Close the server before the runner."""
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None, "set up"
    logs: dict[str, Any] = {"access_log": None, "logger": log}
    return await loop.create_server(lambda: _Talk(server, loop=loop, **logs), sock=sock, ssl=secured, backlog=backlog)
