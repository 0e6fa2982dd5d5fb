"""The server of ``hopgrad play``, for one user on one machine.

It runs the user's code, so nobody else may talk to it: it listens on the loopback interface only, knows its user by a
random token, and refuses requests under another host name, by which a page from elsewhere might reach it (DNS
rebinding). Files are taken from one folder only. Requests are bounded in size, and computing in time and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hopgrad.cli import ProblemError, file_of
from hopgrad.errors import ExpressionError
from hopgrad.play.jobs import Jobs, TooManyError
from hopgrad.show.expression import parse

__all__ = ["application", "serve"]

FIRST = "sin((x+1)^2)"
_BODY = 64 * 2**10
_BODY_SECONDS = 5.0
_KEPT = 8
"""Bounds: bytes of a request, seconds until it is there, pages that are kept for the browser to fetch."""
_DATA_FILES = {".npy", ".json", ".csv"}

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SHELL_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; frame-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# The explorer's page has a policy of its own inside; here it is kept apart from this server and from the frame around.
_PAGE_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'self'"


class _Gate:
    """Lets requests in that are the user's own: under the right host name, from no other site, with the token."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str) -> None:
        self.app = app
        self.hosts = hosts
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        refusal = self._refusal(Request(scope))
        if refusal is not None:
            await JSONResponse({"error": refusal}, 403, _HEADERS)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        if host not in self.hosts:
            return "this is not the name of this server"
        if request.headers.get("origin", f"http://{host}") != f"http://{host}":
            return "requests from other sites are refused"
        if request.url.path.startswith("/page/"):  # its random name is enough, and the frame need not know the token
            return None
        given = request.headers.get("x-hopgrad-token") or request.query_params.get("token", "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return "the token is missing or wrong: open the address that hopgrad play printed"
        return None


class _Play:
    """The answers. Pages are kept a while, under random names, for the frame that shows them."""

    def __init__(self, jobs: Jobs, first: Mapping[str, Any]) -> None:
        self.jobs = jobs
        self.first = first
        self.pages: dict[str, str] = {}
        self.watched: frozenset[Path] = frozenset()

    async def shell(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        assets = files(__package__) / "assets"
        script, style, body = (
            assets.joinpath(name).read_text(encoding="utf-8") for name in ("play.js", "play.css", "play.html")
        )
        # A closing tag inside the text of a script would end it.
        first = json.dumps(dict(self.first)).replace("<", "\\u003c")
        parts = {"NONCE": nonce, "STYLE": style, "FIRST": first, "SCRIPT": script}
        words = re.sub("%([A-Z]+)%", lambda found: parts[found[1]], body)
        return HTMLResponse(words, 200, {**_HEADERS, "Content-Security-Policy": _SHELL_POLICY.format(nonce=nonce)})

    async def explain(self, request: Request) -> Response:
        asked = self._checked(await _body(request))
        try:
            answer = await self.jobs.run(asked)
        except TooManyError:
            return JSONResponse({"error": "too many requests wait: try again"}, 429, _HEADERS)
        source = file_of(asked["target"])
        own = [] if source is None else [self.jobs.folder / source[0]]
        self.watched = frozenset([*own, *map(Path, answer.get("files", ()))])
        told = {"printed": answer.get("printed", ""), "at": asked["at"], "state": self._state()}
        if "page" not in answer:
            return JSONResponse({**told, "error": answer["error"]}, 422, _HEADERS)
        name = secrets.token_urlsafe(16)
        self.pages[name] = answer["page"]
        while len(self.pages) > _KEPT:
            del self.pages[next(iter(self.pages))]
        return JSONResponse({**told, "page": name}, 200, _HEADERS)

    async def page(self, request: Request) -> Response:
        found = self.pages.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return HTMLResponse(found, 200, {**_HEADERS, "Content-Security-Policy": _PAGE_POLICY})

    async def changed(self, request: Request) -> Response:
        return JSONResponse({"state": self._state()}, 200, _HEADERS)

    def _state(self) -> str:
        """Another word after each change of a watched file."""
        return " ".join(f"{_stamp(path)}" for path in sorted(self.watched))

    def _checked(self, data: Any) -> dict[str, Any]:
        """The request for the worker: of the right form, with files of the folder only."""
        if not isinstance(data, dict):
            raise HTTPException(400, "an object is expected")
        target, at, wrt, order = (data.get(key) for key in ("target", "at", "wrt", "order"))
        if not isinstance(target, str) or not target.strip():
            raise HTTPException(400, "target: a formula, or file.py:function")
        if not isinstance(at, dict) or not all(isinstance(v, str) and v.strip() for v in at.values()):
            raise HTTPException(400, "at: a text for each name")
        if not isinstance(wrt, list) or not all(isinstance(name, str) for name in wrt):
            raise HTTPException(400, "wrt: a list of names")
        if type(order) is not int or not 1 <= order <= 3:
            raise HTTPException(400, "order: 1, 2 or 3")
        target = target.strip()
        source = file_of(target)
        if source is not None:
            self._inside(str(source[0]))
        for text in at.values():
            if Path(text).suffix.lower() in _DATA_FILES:
                self._inside(text)
        if source is None:
            with contextlib.suppress(ExpressionError):  # the worker tells what is wrong with it
                at = {name: at.get(name, "1") for name in parse(target).names} | at
        return {"target": target, "at": at, "wrt": wrt, "integer": [], "order": order}

    def _inside(self, name: str) -> None:
        try:
            fits = (self.jobs.folder / name).resolve().is_relative_to(self.jobs.folder)
        except (OSError, ValueError):
            fits = False
        if not fits:
            raise HTTPException(403, f"{name[:80]} is not below {self.jobs.folder}, where hopgrad play was started")


async def _body(request: Request) -> Any:
    """The JSON in a request's body, bounded in size and in time."""

    async def read() -> bytes:
        found = bytearray()
        async for part in request.stream():
            found += part
            if len(found) > _BODY:
                raise HTTPException(413, f"a request has at most {_BODY} bytes")
        return bytes(found)

    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the body is JSON")
    try:
        return json.loads(await asyncio.wait_for(read(), _BODY_SECONDS))
    except TimeoutError:
        raise HTTPException(408, "the request took too long") from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "this is not JSON") from None


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


async def _told(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return JSONResponse({"error": problem.detail}, problem.status_code, _HEADERS)


def application(folder: Path, first: Mapping[str, Any], token: str, port: int, limit: float) -> ASGIApp:
    """The server as an ASGI application.

    Args:
        folder: The folder that functions and data are taken from.
        first: What the page begins with: ``target`` and ``at``.
        token: What each request has to bring.
        port: Where it is reached, on 127.0.0.1 or localhost.
        limit: Seconds for one explanation.
    """
    jobs = Jobs(folder.resolve(), limit)
    play = _Play(jobs, first)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await jobs.warm()
        yield
        await jobs.close()

    routes = [
        Route("/", play.shell),
        Route("/explain", play.explain, methods=["POST"]),
        Route("/page/{name}", play.page),
        Route("/changed", play.changed),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _told})
    return _Gate(app, frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost")), token)


def serve(target: str, at: Mapping[str, str], port: int, limit: float, browse: bool) -> None:
    """Serve until Ctrl-C; see ``hopgrad play --help``.

    Raises:
        ProblemError: if the port is taken.
    """
    token = secrets.token_urlsafe(24)
    target = target.strip() or FIRST
    given = dict(at) or ({"x": "0.5"} if target == FIRST else {})
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise ProblemError(f"port {port}: {error.strerror or error}; choose another with --port") from error
        port = listener.getsockname()[1]
        app = application(Path.cwd(), {"target": target, "at": given}, token, port, limit)
        address = f"http://127.0.0.1:{port}/?token={token}"
        print(f"hopgrad play: {address}\n(Ctrl-C ends it)", flush=True)
        if browse:
            webbrowser.open(address)
        settings = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, limit_concurrency=32)
        uvicorn.Server(settings).run(sockets=[listener])
