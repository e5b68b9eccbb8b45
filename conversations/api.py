"""The conversation endpoints. Each validates, calls one function, returns."""

from typing import Annotated, Any
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Field, Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from chatproject.pagination import page
from conversations import feedback, store, turns
from conversations.events import EventStream
from conversations.models import Conversation, Message
from conversations.schemas import (
    ChatIn,
    ConversationIn,
    ConversationOut,
    ConversationPage,
    ConversationPatch,
    FeedbackIn,
    FeedbackOut,
    MessageIn,
    MessageOut,
    MessagePage,
    ProviderChatIn,
)
from conversations.turn import Ask
from providers import routing
from providers.errors import ALL as PROVIDER_ERRORS

router = Router()

Limit = Annotated[int, Field(ge=1, le=100, description="Rows of a page.")]
Cursor = Annotated[str | None, Field(max_length=64, description="The next_cursor of the page before.")]

BODY = ("invalid_json", "unsupported_media_type", "body_too_large", "invalid_request")
TURN = (*BODY, "unknown_provider", "conversation_not_found", "turn_in_progress", *(e.code for e in PROVIDER_ERRORS))


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
    return await db.run(store.conversation_of, request.user, conversation_id)


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
    return await db.run(store.change_conversation, request.user, conversation_id, changes)


@router.delete(
    "/conversations/{uuid:conversation_id}",
    response={204: None, **problems("conversation_not_found")},
    tags=["conversations"],
)
async def delete_conversation(request: ApiRequest, conversation_id: UUID) -> Status[None]:
    """Deletes the conversation and its messages for good."""
    await db.run(store.delete_conversation, request.user, conversation_id)
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
    items, next_cursor = await db.run(store.messages_page, request.user, conversation_id, limit, cursor)
    return {"items": items, "next_cursor": next_cursor}


@router.post(
    "/conversations/{uuid:conversation_id}/messages",
    response={200: MessageOut, **problems(*TURN)},
    openapi_extra=sse(),
    tags=["messages"],
)
async def post_message(request: ApiRequest, conversation_id: UUID, body: MessageIn) -> Message | HttpResponseBase:
    """Posts a message and answers with the assistant's, as JSON or, with `stream`, as server-sent events."""
    ask = Ask(**body.dict())
    return await answer(request, ask, conversation_id)


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


@router.post("/chat", response={200: MessageOut, **problems(*TURN)}, openapi_extra=sse(), tags=["chat"])
async def chat(request: ApiRequest, body: ChatIn) -> Message | HttpResponseBase:
    """One call for a turn: creates the conversation when none is named. The answer bears its conversation_id."""
    return await chat_turn(request, body, body.provider)


@router.post("/chat/{provider}", response={200: MessageOut, **problems(*TURN)}, openapi_extra=sse(), tags=["chat"])
async def chat_with_provider(request: ApiRequest, provider: str, body: ProviderChatIn) -> Message | HttpResponseBase:
    """The same with the provider in the path."""
    return await chat_turn(request, body, provider)


async def chat_turn(request: ApiRequest, body: ProviderChatIn, provider: str | None) -> Message | HttpResponseBase:
    ask = Ask(
        content=body.message,
        stream=body.stream,
        provider=provider,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
    )
    new = {"system_prompt": body.system_prompt, "metadata": body.metadata}
    return await answer(request, ask, body.conversation_id, new)


async def answer(
    request: ApiRequest, ask: Ask, conversation_id: UUID | None, new: dict[str, Any] | None = None
) -> Message | HttpResponseBase:
    """Runs the turn: an event stream, or the finished message. Raises its Problem when the blocking turn failed."""
    turn = await turns.begin(
        owner=request.user,
        conversation_id=conversation_id,
        ask=ask,
        request_id=request.request_id,
        trace_id=request.trace_id,
        new=new,
    )
    if ask.stream:
        return EventStream(turn)
    problem = await turns.run(turn)
    if problem is not None:
        raise problem
    return turn.message
