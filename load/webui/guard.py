"""Keeps other web sites away from the page, which can break a system.

Locust lets every origin read every route, and answers every preflight: a page that somebody visits could start tests
and read their results. Here a request that changes something must come from the page itself or from no page at all,
and no origin is allowed to read. A page that listens on loopback answers to its own names only.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Request, Response, request

SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITE: Final = frozenset(("same-origin", "none"))
"""Values of Sec-Fetch-Site: this page, or a person (a bookmark, a typed address)."""


def why_refused(asked: Request, host: str) -> str:
    """Return why a request is refused; empty if it is not. `host`: what the page listens on."""
    name = _split(f"//{asked.host}").hostname or ""
    if is_loopback(host) and not is_loopback(name):
        return f"this page listens on {host or 'loopback'} and is not {name}"
    if asked.method in SAFE:
        return ""
    origin = asked.headers.get("Origin")
    if origin is not None and _split(origin).netloc != asked.host:
        return f"a page of {origin} asked for it"
    if asked.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
        return "a page of another site asked for it"
    return ""


def _split(url: str) -> SplitResult:
    """Return the parts of a URL that a stranger sent; empty parts if it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """True for localhost and the addresses of this machine's loopback."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guard(app: Flask, host: str) -> None:
    """Refuse what other sites ask of any route of the page, those of Locust too."""

    def refuse() -> Response | None:
        reason = why_refused(request, host)
        return Response(f"refused: {reason}\n", 403, mimetype="text/plain") if reason else None

    def keep_to_itself(response: Response) -> Response:
        for name in [name for name, _ in response.headers if name.lower().startswith("access-control-")]:
            response.headers.pop(name, None)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("X-Frame-Options", "SAMEORIGIN")
        return response

    app.before_request(refuse)
    # Flask calls these from the last to the first: this one comes after the one that allows every origin.
    app.after_request_funcs.setdefault(None, []).insert(0, keep_to_itself)
