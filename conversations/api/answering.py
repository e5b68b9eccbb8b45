"""What the endpoints that begin a turn have in common, and the parameters of lists."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Field

from chatproject.http import ApiRequest
from conversations import encoding, idempotent, turns
from conversations.content import split
from conversations.events import EventStream
from conversations.schemas import OptionsIn, TurnIn
from conversations.turn import Ask, ToolResult
from providers.errors import ALL as PROVIDER_ERRORS

Limit = Annotated[int, Field(ge=1, le=100, description="Rows of a page.")]
Cursor = Annotated[str | None, Field(max_length=64, description="The next_cursor of the page before.")]

BODY = ("invalid_json", "unsupported_media_type", "body_too_large", "invalid_request")
TURN = (
    *BODY,
    "unknown_provider",
    "conversation_not_found",
    "turn_in_progress",
    "tool_results_mismatch",
    "cancelled",
    "interrupted",
    "too_many_tokens",
    "too_many_turns",
    "budget_exhausted",
    *(e.code for e in PROVIDER_ERRORS),
)


def ask_of(
    body: OptionsIn,
    content: Any,
    provider: str | None,
    *,
    regenerates: UUID | None = None,
    edits: UUID | None = None,
) -> Ask:
    text, parts = split(content)
    results = body.tool_results if isinstance(body, TurnIn) else []
    return Ask(
        content=text,
        parts=parts,
        tool_results=tuple(ToolResult(**result) for result in results),
        reasoning=body.reasoning,
        extra=body.extra(),
        stream=body.stream,
        detached=body.detached,
        provider=provider,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        regenerates=regenerates,
        edits=edits,
    )


async def answer(
    request: ApiRequest,
    ask: Ask,
    conversation_id: UUID | None,
    new: dict[str, Any] | None = None,
    content_field: str = "content",
) -> HttpResponseBase:
    """Runs the turn: an event stream, or the finished message. Raises its Problem when the blocking turn failed."""
    if ask.stream and idempotent.claimed():  # whoever sends it again gets the events
        ask = replace(ask, detached=True)
    turn = await turns.begin(
        owner=request.user,
        conversation_id=conversation_id,
        ask=ask,
        request_id=request.request_id,
        trace_id=request.trace_id,
        new=new,
        content_field=content_field,
        key=request.auth,
    )
    if ask.stream:
        return EventStream(turn)
    problem = await turns.run(turn)
    if problem is not None:
        raise problem
    return encoding.response(turn.message)
