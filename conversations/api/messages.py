"""The messages of a conversation: listed, posted, and what can be done with an answer."""

from typing import Annotated, Any
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Field, Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from conversations import feedback, lookup
from conversations.api.answering import BODY, TURN, Cursor, Limit, answer, ask_of
from conversations.cancelling import cancel
from conversations.documents import AttemptPage, FeedbackOut, MessageOut, MessagePage
from conversations.models import Message
from conversations.models import Status as MessageStatus
from conversations.schemas import FeedbackIn, MessageIn

router = Router()


@router.get(
    "/conversations/{uuid:conversation_id}/messages",
    response={200: MessagePage, **problems("conversation_not_found", "invalid_cursor", "invalid_request")},
    tags=["messages"],
)
async def list_messages(
    request: ApiRequest,
    conversation_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
    include_superseded: Annotated[bool, Field(description="With the answers that were made again.")] = False,
) -> dict[str, Any]:
    """The messages, oldest first."""
    items, next_cursor = await db.run(
        lookup.messages_page, request.user, conversation_id, limit, cursor, superseded=include_superseded
    )
    return {"items": items, "next_cursor": next_cursor}


@router.post(
    "/conversations/{uuid:conversation_id}/messages",
    response={200: MessageOut, **problems(*TURN)},
    openapi_extra=sse(),
    tags=["messages"],
)
async def post_message(request: ApiRequest, conversation_id: UUID, body: MessageIn) -> HttpResponseBase:
    """Posts a message and answers with the assistant's, as JSON or, with `stream`, as server-sent events."""
    return await answer(request, ask_of(body, body.content, body.provider), conversation_id)


@router.get(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/attempts",
    response={200: AttemptPage, **problems("message_not_found", "invalid_request")},
    tags=["messages"],
)
async def list_attempts(request: ApiRequest, conversation_id: UUID, message_id: UUID) -> dict[str, Any]:
    """The requests to providers that an answer took, in their order: its retries and fallbacks too. None while it
    is under way."""
    items = await db.run(lookup.attempts_of, request.user, conversation_id, message_id)
    return {"items": items, "next_cursor": None}


@router.post(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/feedback",
    response={
        200: FeedbackOut,
        201: FeedbackOut,
        **problems(*BODY, "message_not_found", "turn_in_progress"),
    },
    tags=["messages"],
)
async def give_feedback(request: ApiRequest, conversation_id: UUID, message_id: UUID, body: FeedbackIn) -> Status[Any]:
    """Rates an answer. What you say later replaces what you said before: 201 the first time, then 200.

    The comment goes to the people who run the server, and to their Sentry if they have it so.
    """
    given = await db.run(feedback.give, request.user, conversation_id, message_id, body.rating, body.comment or "")
    return Status(201 if given.created else 200, given.feedback)


@router.post(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/cancel",
    response={200: MessageOut, 202: MessageOut, **problems("message_not_found", "invalid_request")},
    tags=["messages"],
)
async def cancel_turn(request: ApiRequest, conversation_id: UUID, message_id: UUID) -> Status[Message]:
    """Ends the turn whose answer `message_id` is, whatever worker runs it, and answers with the message as it is then.

    200: it has ended; its `status` tells how, since the answer may have been complete already. 202: its worker has
    been told, but has not ended it yet. What there is of the answer is kept. Whoever waits for the answer gets the
    problem `cancelled`, in a stream as `message.failed`.
    """
    message = await cancel(request.user, conversation_id, message_id)
    return Status(202 if message.status == MessageStatus.STREAMING else 200, message)
