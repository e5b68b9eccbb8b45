"""The answer to a request that was sent before with the same Idempotency-Key."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from chatproject.problems import Problem, ProblemResponse
from conversations import encoding, endings
from conversations.events import CONTENT_TYPE, HEADERS
from conversations.following import Following
from conversations.idempotent import Before
from conversations.models import Message

REPLAYED = {"Idempotency-Replayed": "true"}


def response(request: HttpRequest, before: Before) -> HttpResponseBase:
    """The first result again, or its stream from the start. Raises Problem where it is one, or was not kept."""
    replayed = _response(request, before)
    for name, value in REPLAYED.items():
        replayed[name] = value
    return replayed


def _response(request: HttpRequest, before: Before) -> HttpResponseBase:
    record, message = before.record, before.message
    if message is not None and message.detached:
        if before.has_events:
            return Following(message)
        return HttpResponse(endings.events_of(message), content_type=CONTENT_TYPE, headers=HEADERS)
    if record.body or record.status == 204:
        kind = ProblemResponse if record.status and record.status >= 400 else HttpResponse
        return kind(record.body, status=record.status, headers=record.headers)
    if message is not None:
        return _of_message(request, message)
    if record.status is None:
        detail = "The server that carried the request out has stopped; nobody knows how far it came."
        raise Problem("interrupted", detail, headers=REPLAYED)
    detail = f"It ended with status {record.status}. Look at what it has made, or send it anew with another key."
    raise Problem("idempotency_not_kept", detail, headers=REPLAYED)


def _of_message(request: HttpRequest, message: Message) -> HttpResponseBase:
    """The result of a turn whose server was killed between its end and the keeping of the result."""
    problem = endings.problem_of(message)
    if problem is None and not request.path_info.startswith("/api/"):  # what that API says is nothing we know
        problem = Problem("idempotency_not_kept", "Its answer is complete, and stored as a message.")
    if problem is not None:
        problem.headers |= REPLAYED
        raise problem
    return encoding.response(message)
