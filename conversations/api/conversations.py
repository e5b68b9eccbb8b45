"""Conversations: made, listed, read, changed, deleted."""

from typing import Any
from uuid import UUID

from ninja import Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from chatproject.pagination import page
from conversations import edits, lookup, turns
from conversations.api.answering import BODY, Cursor, Limit
from conversations.documents import ConversationOut, ConversationPage
from conversations.models import Conversation
from conversations.schemas import ConversationIn, ConversationPatch
from conversations.turn import Ask
from providers import routing

router = Router()


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
