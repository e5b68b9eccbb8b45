"""The conversation endpoints. Each validates, calls one function, returns."""

from typing import Annotated, Any
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Field, Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from chatproject.pagination import page
from conversations import edits, feedback, lookup, turns
from conversations.cancelling import cancel
from conversations.content import split
from conversations.documents import AttemptPage, ConversationOut, ConversationPage, FeedbackOut, MessageOut, MessagePage
from conversations.events import EventStream
from conversations.models import Conversation, Message
from conversations.models import Status as MessageStatus
from conversations.schemas import (
    ChatIn,
    ConversationIn,
    ConversationPatch,
    FeedbackIn,
    MessageIn,
    ProviderChatIn,
    TurnIn,
)
from conversations.turn import Ask, ToolResult
from providers import routing
from providers.errors import ALL as PROVIDER_ERRORS

router = Router()

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
    *(e.code for e in PROVIDER_ERRORS),
)


@router.post(
    "/conversations", response={201: ConversationOut, **problems(*BODY, "unknown_provider")}, tags=["conversations"]
)
async def create_conversation(request: ApiRequest, body: ConversationIn) -> Status[Any]:
    """Creates an empty conversation."""
    ask = Ask(content="", stream=False, provider=body.provider, model=body.model)
    provider, model = turns.route(ask, None)
    conversation = Conversation(owner=request.user, **{**body.dict(), "provider": provider.name, "model": model})
    await db.run(conversation.save, force_insert=True)
    return Status(201, conversation)


@router.get(
    "/conversations",
    response={200: ConversationPage, **problems("invalid_cursor", "invalid_request")},
    tags=["conversations"],
)
async def list_conversations(request: ApiRequest, limit: Limit = 20, cursor: Cursor = None) -> dict[str, Any]:
    """Your conversations, newest first."""
    mine = Conversation.objects.filter(owner=request.user)
    items, next_cursor = await db.run(page, mine, limit=limit, cursor=cursor, newest_first=True)
    return {"items": items, "next_cursor": next_cursor}


@router.get(
    "/conversations/{uuid:conversation_id}",
    response={200: ConversationOut, **problems("conversation_not_found")},
    tags=["conversations"],
)
async def get_conversation(request: ApiRequest, conversation_id: UUID) -> Conversation:
    """One conversation; its messages have an endpoint of their own."""
    return await db.run(lookup.conversation_of, request.user, conversation_id)


@router.patch(
    "/conversations/{uuid:conversation_id}",
    response={200: ConversationOut, **problems(*BODY, "unknown_provider", "conversation_not_found")},
    tags=["conversations"],
)
async def change_conversation(request: ApiRequest, conversation_id: UUID, body: ConversationPatch) -> Conversation:
    """Changes the fields that are sent. A new provider without a model takes its default model."""
    changes = {key: value for key, value in body.dict(exclude_unset=True).items() if value is not None}
    if "provider" in changes:
        provider = routing.provider_named(changes["provider"])
        changes.setdefault("model", provider.model)
    return await db.run(edits.change_conversation, request.user, conversation_id, changes)


@router.delete(
    "/conversations/{uuid:conversation_id}",
    response={204: None, **problems("conversation_not_found")},
    tags=["conversations"],
)
async def delete_conversation(request: ApiRequest, conversation_id: UUID) -> Status[None]:
    """Deletes the conversation and its messages for good."""
    await db.run(edits.delete_conversation, request.user, conversation_id)
    return Status(204, None)


@router.get(
    "/conversations/{uuid:conversation_id}/messages",
    response={200: MessagePage, **problems("conversation_not_found", "invalid_cursor", "invalid_request")},
    tags=["messages"],
)
async def list_messages(
    request: ApiRequest, conversation_id: UUID, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """The messages, oldest first."""
    items, next_cursor = await db.run(lookup.messages_page, request.user, conversation_id, limit, cursor)
    return {"items": items, "next_cursor": next_cursor}


@router.post(
    "/conversations/{uuid:conversation_id}/messages",
    response={200: MessageOut, **problems(*TURN)},
    openapi_extra=sse(),
    tags=["messages"],
)
async def post_message(request: ApiRequest, conversation_id: UUID, body: MessageIn) -> Message | HttpResponseBase:
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


@router.post("/chat", response={200: MessageOut, **problems(*TURN)}, openapi_extra=sse(), tags=["chat"])
async def chat(request: ApiRequest, body: ChatIn) -> Message | HttpResponseBase:
    """One call for a turn: creates the conversation when none is named. The answer bears its conversation_id."""
    return await chat_turn(request, body, body.provider)


@router.post("/chat/{provider}", response={200: MessageOut, **problems(*TURN)}, openapi_extra=sse(), tags=["chat"])
async def chat_with_provider(request: ApiRequest, provider: str, body: ProviderChatIn) -> Message | HttpResponseBase:
    """The same with the provider in the path."""
    return await chat_turn(request, body, provider)


async def chat_turn(request: ApiRequest, body: ProviderChatIn, provider: str | None) -> Message | HttpResponseBase:
    ask = ask_of(body, body.message, provider)
    new = {"system_prompt": body.system_prompt, "metadata": body.metadata}
    return await answer(request, ask, body.conversation_id, new, content_field="message")


def ask_of(body: TurnIn, content: Any, provider: str | None) -> Ask:
    text, parts = split(content)
    return Ask(
        content=text,
        parts=parts,
        tool_results=tuple(ToolResult(**result) for result in body.tool_results),
        reasoning=body.reasoning,
        extra=body.extra(),
        stream=body.stream,
        provider=provider,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
    )


async def answer(
    request: ApiRequest,
    ask: Ask,
    conversation_id: UUID | None,
    new: dict[str, Any] | None = None,
    content_field: str = "content",
) -> Message | HttpResponseBase:
    """Runs the turn: an event stream, or the finished message. Raises its Problem when the blocking turn failed."""
    turn = await turns.begin(
        owner=request.user,
        conversation_id=conversation_id,
        ask=ask,
        request_id=request.request_id,
        trace_id=request.trace_id,
        new=new,
        content_field=content_field,
    )
    if ask.stream:
        return EventStream(turn)
    problem = await turns.run(turn)
    if problem is not None:
        raise problem
    return turn.message
