"""Posts envelopes over one kept connection.

A general HTTP client took longer for a request than Sentry's SDK for the transaction in it. What Sentry is asked needs
little of one: a body that is there, an answer of which the status and the headers matter, no redirects, no cookies.
The answers are parsed by httptools, which is Node's parser.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ = 10_000
"""Bytes of an answer: the SDK looks at its status and its headers, and tells of the body if it was refused."""

FRESH = 15.0
"""Seconds after its last answer for which a connection is used again. What is between may forget a silent one, and then
what is sent is lost without a word.
"""

REACHING = 5.0
"""Seconds for each of a host's addresses: one may lead nowhere while the next one answers."""


@dataclass(slots=True)
class Response:
    """What the SDK reads of one."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Their names in lower case."""
    data: bytes = b""


class Connection(asyncio.Protocol):
    """One request at a time. Ends itself when its answer does not leave it in a state for another."""

    def __init__(self) -> None:
        self._transport: Any = None  # uvloop's are no asyncio.Transport
        self._answer: asyncio.Future[Response] | None = None
        self._response = Response()
        self._parser = HttpResponseParser(self)
        self.answered = False
        """Whether anything has come for the latest request."""
        self._latest = 0.0
        """When it was answered, in the loop's time."""

    @property
    def is_fresh(self) -> bool:
        """Whether it may be asked again."""
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and asyncio.get_running_loop().time() - self._latest < FRESH

    async def ask(self, request: bytes) -> Response:
        """Raises an OSError. Cancelled, it is closed."""
        self.answered, self._response = False, Response()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"no HTTP answer: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._response.status >= 200:  # its body ends here, as is usual for one without a length
            self._end(kept=False)
        self._fail(ConnectionError("the connection was closed before the answer came"))

    def _fail(self, error: OSError) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # What the parser calls

    def on_message_begin(self) -> None:
        self._response = Response()

    def on_header(self, name: bytes, value: bytes) -> None:
        known, key, text = self._response.headers, name.decode("latin-1").lower(), value.decode("latin-1")
        known[key] = f"{known[key]}, {text}" if key in known else text

    def on_headers_complete(self) -> None:
        self._response.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._response.data += body
        if len(self._response.data) > READ:
            self._end(kept=False)

    def on_message_complete(self) -> None:
        if self._response.status >= 200:  # else the answer is still to come
            self._end(kept=self._parser.should_keep_alive())

    def _end(self, *, kept: bool) -> None:
        self._latest = asyncio.get_running_loop().time()
        if not kept:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._response)


class Poster:
    """Posts to one address, one body at a time."""

    def __init__(self, url: str, tls: ssl.SSLContext, timeout: float) -> None:
        """`timeout`: seconds for all of a request."""
        parts = urlsplit(url)
        self._host, self._tls, self._timeout = parts.hostname or "", tls if parts.scheme == "https" else None, timeout
        self._port = parts.port or (443 if self._tls else 80)
        name = parts.netloc.rpartition("@")[2].encode("idna").decode()
        self._head = f"POST {parts.path} HTTP/1.1\r\nHost: {name}\r\n"
        self._connection: Connection | None = None

    async def post(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Raises an OSError: TimeoutError, ConnectionError, that of a name or a certificate."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"{self._head}{fields}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        async with asyncio.timeout(self._timeout):
            kept = self._connection
            if kept is not None and kept.is_fresh:
                try:
                    return await kept.ask(request)
                except ConnectionError:
                    if kept.answered:
                        raise
                    # It was closed as too old just when it was wanted.
            self.close()
            self._connection = connection = await self._connect()
            return await connection.ask(request)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> Connection:
        """To the first of the host's addresses that can be reached.

        The name is resolved here: uvloop, cancelled while it does so, complains to the log about what it finds later.
        """
        loop = asyncio.get_running_loop()
        name = self._host if self._tls else None
        error: OSError | None = None
        for *_, address in await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            try:
                async with asyncio.timeout(REACHING):
                    _, connection = await loop.create_connection(
                        Connection, str(address[0]), self._port, ssl=self._tls, server_hostname=name
                    )
            except OSError as failed:
                error = failed
            else:
                return connection
        raise error or ConnectionError(f"{self._host} has no address")
