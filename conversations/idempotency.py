"""The header Idempotency-Key of POSTs: a request that is sent again gets the first one's result, and runs once.

As the IETF draft has it (draft-ietf-httpapi-idempotency-key-header). It lies around every operation of the API, in two
layers: `around` outside of authentication, where the finished response comes by; `inside` right before the view, where
the user is known and the request is valid. A request without the header costs a look for it.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from chatproject import db, openai_errors
from chatproject.problems import Problem
from conversations import idempotent, replays
from conversations.detached import left_running
from conversations.events import EventStream
from conversations.idempotent import Before, Claim
from conversations.kept_body import KeptBody, keep
from conversations.live import registry

HEADER = "Idempotency-Key"
KEY = "HTTP_IDEMPOTENCY_KEY"
VALID = re.compile(r"[\x21-\x7e]{1,255}")

Run = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class Keyed:
    """A request with the header."""

    key: str
    fingerprint: str
    claim: Claim | None = None
    """None until it turns out to be the first of its key."""


def around(run: Run) -> Run:
    """Decorates an operation. The request goes on when its client leaves, so that its result is there for the retry."""
    if not iscoroutinefunction(run):
        return run

    @wraps(run)
    async def keyed(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if KEY not in request.META or request.method != "POST":
            return await run(request, **kwargs)  # type: ignore[no-any-return]
        return await left_running(_carry_out(request, partial(run, request, **kwargs)))

    return keyed


def inside(view: Run) -> Run:
    """Decorates the view of an operation: lets only the first request of its key come to it."""
    if not iscoroutinefunction(view):
        return view

    @wraps(view)
    async def keyed(request: Any, *args: Any, **kwargs: Any) -> Any:
        asked: Keyed | None = getattr(request, "idempotent", None)
        if asked is None:
            return await view(request, *args, **kwargs)
        if not VALID.fullmatch(asked.key):
            wrong = "must be 1 to 255 visible ASCII characters"
            raise Problem("invalid_request", f"{HEADER}: {wrong}.", errors=[{"field": HEADER, "message": wrong}])
        found = await db.run(idempotent.claim, request.user, asked.key, asked.fingerprint)
        if isinstance(found, Before):
            return replays.response(request, found)
        asked.claim = found
        registry.requests.add(found.pk)
        idempotent.current.set(found)  # in the context of this request's own task
        return await view(request, *args, **kwargs)

    return keyed


async def _carry_out(request: Any, run: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
    request.idempotent = asked = Keyed(request.META[KEY], fingerprint(request))
    response = None
    try:
        response = await run()
        if asked.claim is None:
            return response
        if isinstance(response, EventStream) or not response.streaming:
            await _settle(asked.claim, response, request.path_info)
            return response
        return KeptBody(response, asked.claim)
    finally:
        if asked.claim is not None and not isinstance(response, KeptBody):
            registry.requests.discard(asked.claim.pk)


def fingerprint(request: HttpRequest) -> str:
    """SHA-256 of what makes the request another one: its path, its body, and the one header that says what to do."""
    conversation = request.headers.get("X-Conversation-ID", "")  # of OpenAI's endpoints
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n{conversation}\n".encode())
    digest.update(request.body)
    return digest.hexdigest()


async def _settle(claim: Claim, response: HttpResponseBase, path: str) -> None:
    """Keeps the result, unless the request came to nothing: then it may be sent again."""
    if response.status_code >= 400 and not claim.tied:
        with suppress(DatabaseError):  # the lease runs out
            await db.run(idempotent.release, claim.pk)
        return
    if response.status_code >= 400 and openai_errors.wanted(path):
        for name, value in openai_errors.IN_VAIN.items():  # with this key, the same is all that ever comes
            response[name] = value
    await keep(claim, response, response.content if isinstance(response, HttpResponse) else b"")
