"""Going on from somewhere else than a conversation's end."""

from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from conversations import branching
from conversations.api.answering import BODY, TURN, answer, ask_of
from conversations.documents import ConversationOut, MessageOut
from conversations.schemas import EditIn, ForkIn, RegenerateIn

router = Router()

AS_BEFORE = RegenerateIn.model_validate({})
"""Of a request without a body."""


@router.post(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/regenerate",
    response={200: MessageOut, **problems(*TURN, "message_not_found", "not_last_answer")},
    openapi_extra=sse(),
    tags=["messages"],
)
async def regenerate(
    request: ApiRequest, conversation_id: UUID, message_id: UUID, body: RegenerateIn = AS_BEFORE
) -> HttpResponseBase:
    """Makes another answer to the same question, of another model if you name one. `message_id` is the conversation's
    last answer; it stays, with `superseded_by`, and is no part of the history any more, however the new one ends."""
    return await answer(request, ask_of(body, None, body.provider, regenerates=message_id), conversation_id)


@router.post(
    "/conversations/{uuid:conversation_id}/messages/{uuid:message_id}/edit",
    response={200: MessageOut, **problems(*TURN, "message_not_found", "too_many_messages")},
    openapi_extra=sse(),
    tags=["messages"],
)
async def edit_message(request: ApiRequest, conversation_id: UUID, message_id: UUID, body: EditIn) -> HttpResponseBase:
    """Says something else in the place of a user's message, and answers that, in a fork: a new conversation, whose id
    the answer bears. It begins with copies of all that was before the message; the old conversation stays as it is."""
    return await answer(request, ask_of(body, body.content, body.provider, edits=message_id), conversation_id)


@router.post(
    "/conversations/{uuid:conversation_id}/fork",
    response={
        201: ConversationOut,
        **problems(*BODY, "conversation_not_found", "message_not_found", "turn_in_progress", "too_many_messages"),
    },
    tags=["conversations"],
)
async def fork_conversation(request: ApiRequest, conversation_id: UUID, body: ForkIn | None = None) -> Status[Any]:
    """Makes a new conversation that begins with copies of this one's messages, up to `message_id`. Answers that were
    made again are left out, unless `message_id` is one. Copies have no usage and no cost: nothing was spent on them."""
    last = body.message_id if body else None
    return Status(201, await db.run(branching.fork_conversation, request.user, conversation_id, last))
