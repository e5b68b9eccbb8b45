"""The events of a detached turn, for whoever was cut off, or comes later."""

from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import HeaderEx, P, QueryEx, Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from chatproject.problems import Problem
from conversations import kept_events
from conversations.following import Following

router = Router()

LARGEST = 2**31 - 1
SEEN = "The `id` of the last event that you have; those after it follow. Absent: from the first one."
InHeader = HeaderEx[int | None, P(alias="Last-Event-ID", ge=0, le=LARGEST, description=SEEN)]
InQuery = QueryEx[int | None, P(ge=0, le=LARGEST, description=f"{SEEN} The header wins.")]


@router.get(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/events",
    response={
        204: None,
        **problems("message_not_found", "events_not_kept", "events_gone", "invalid_request"),
    },
    openapi_extra=sse(),
    tags=["messages"],
)
async def follow_events(
    request: ApiRequest,
    conversation_id: UUID,
    message_id: UUID,
    seen: InHeader = None,
    last_event_id: InQuery = None,
) -> HttpResponseBase | Status[None]:
    """The events of an answer whose turn was asked for with `detached`: what there is, and while the turn runs, what
    comes, up to `message.completed` or `message.failed`; then close the connection, or ask again and get a 204. They
    are kept for CHAT_EVENTS_HOURS after the end.
    """
    message = await db.run(kept_events.message_with_events, request.user, conversation_id, message_id)
    after = seen if seen is not None else last_event_id if last_event_id is not None else -1
    last = await db.run(kept_events.last_of, message_id)
    if last is not None and after > last:
        field = "Last-Event-ID" if seen is not None else "last_event_id"
        wrong = f"is no event of this answer, whose last has the id {last}"
        raise Problem("invalid_request", f"{field}: {wrong}.", errors=[{"field": field, "message": wrong}])
    return Status(204, None) if after == last else Following(message, after)
