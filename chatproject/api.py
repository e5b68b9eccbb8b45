"""The API: its routers, and the table from errors to answers."""

import logging
from typing import Any

from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.log import log_response
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from pydantic_core import from_json

from chatproject.apikeys.auth import ApiKeyAuth
from chatproject.db import AWAY
from chatproject.observability import context
from chatproject.observability.api import router as debug_router
from chatproject.openapi import as_problem_documents, with_idempotency
from chatproject.problems import Problem
from conversations import idempotency
from conversations.api import router as conversations_router
from conversations.openai.api import router as openai_router
from providers.api import health_router
from providers.api import router as providers_router

logger = logging.getLogger(__name__)


class JSONParser(Parser):
    """JSON and nothing else: no other media type, no NaN, no half surrogate pairs, no bottomless nesting."""

    def parse_body(self, request: HttpRequest) -> Any:
        media_type = (request.content_type or "").lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise Problem("unsupported_media_type", "Send the header `Content-Type: application/json`.")
        try:
            return from_json(request.body, allow_inf_nan=False)
        except ValueError as error:
            raise Problem("invalid_json", f"The body cannot be parsed: {error}.") from None


class ChatAPI(NinjaAPI):
    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        with_idempotency(schema)
        as_problem_documents(schema)
        return schema


api = ChatAPI(
    title="AI chat API",
    version="1.0.0",
    description="Conversations with AI providers: stored, streamed, watched by Sentry. Errors are RFC 9457 problems.",
    urls_namespace="ninja",
    docs_url="/api/docs",
    openapi_url="/api/openapi.json",
    auth=ApiKeyAuth(),
    parser=JSONParser(),
)

api.add_decorator(idempotency.around, mode="view")
api.add_decorator(idempotency.inside, mode="operation")
api.add_router("/api", conversations_router)
api.add_router("/api", providers_router)
api.add_router("/v1", openai_router)
api.add_router("", health_router)
api.add_router("", debug_router)


@api.exception_handler(Problem)
def on_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    return problem.response(request)


@api.exception_handler(ValidationError)
def on_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {"field": field_of(e["loc"]), "message": str(e["msg"]).removeprefix("Value error, ")} for e in error.errors
    ]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
    return Problem("invalid_request", f"{detail}.", errors=errors).response(request)


def field_of(location: tuple[Any, ...]) -> str:
    """`("body", "payload", "metadata", "a")` -> `metadata.a`; the parameter's own name means nothing to a caller."""
    source, *path = location
    return ".".join(str(part) for part in (path[1:] if source == "body" else path)) or str(source)


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    # Ninja wraps what the parser raises.
    if isinstance(error.__cause__, Problem):
        return error.__cause__.response(request)
    code = {401: "not_authenticated", 403: "forbidden", 404: "not_found"}.get(error.status_code, "bad_request")
    return Problem(code, str(error), status=error.status_code).response(request)


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return Problem("not_found", "There is nothing with this id.").response(request)


def on_database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    """The database is away: captured once, with an answer that says to come back. Its other errors are bugs of ours."""
    event_id = context.capture(error)
    context.fail_transaction()
    logger.error("the database is away: %s", type(error).__name__)
    return Problem(
        "database_unavailable", "Try again later.", headers={"Retry-After": "5"}, sentry_event_id=event_id
    ).response(request)


for away in AWAY:
    api.exception_handler(away)(on_database_away)


@api.exception_handler(Exception)
def on_bug(request: HttpRequest, error: Exception) -> HttpResponse:
    """What Django does with an unhandled exception, except that DEBUG changes nothing: a client gets a problem."""
    got_request_exception.send(sender=ChatAPI, request=request)  # the SDK's Django integration listens
    response = bug_response(request)
    log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error)
    return response


def bug_response(request: HttpRequest) -> HttpResponse:
    """The answer to a bug of ours: by now the SDK has sent its event, whose id the user can quote."""
    return Problem(
        "internal_error",
        "It has been logged. Quote the request_id when you report it.",
        sentry_event_id=context.last_event_id(),
        trace_id=getattr(request, "trace_id", None),
    ).response(request)
