"""Conversations: made, listed, read, changed, deleted, restored."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from ninja import Field, Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from conversations import edits, listing, lookup, turns
from conversations.api.answering import BODY, Cursor, Limit
from conversations.documents import ConversationOut, ConversationPage
from conversations.filters import Archived, Deleted, OfAssistant, Pinned, WithMetadata, WithTags
from conversations.models import Conversation
from conversations.schemas import ConversationIn, ConversationPatch, known
from conversations.turn import Ask
from providers import routing

router = Router()

Permanent = Annotated[bool, Field(description="Deletes it for good, also one that was deleted before.")]


@router.post(
    "/conversations",
    response={201: ConversationOut, **problems(*BODY, "unknown_provider", "assistant_not_found")},
    tags=["conversations"],
)
async def create_conversation(request: ApiRequest, body: ConversationIn) -> Status[Any]:
    """Creates an empty conversation."""
    fields = known(body.model_dump(exclude_unset=True))
    ask = Ask(content="", stream=False, provider=fields.pop("provider", None), model=fields.pop("model", None))
    return Status(201, await db.run(edits.create_conversation, request.user, fields, partial(turns.route, ask)))


@router.get(
    "/conversations",
    response={200: ConversationPage, **problems("invalid_cursor", "invalid_request")},
    tags=["conversations"],
)
async def list_conversations(
    request: ApiRequest,
    archived: Archived = None,
    pinned: Pinned = None,
    tag: WithTags = [],  # noqa: B006 (Ninja makes a new one)
    metadata: WithMetadata = [],  # noqa: B006
    assistant_id: OfAssistant = None,
    deleted: Deleted = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Your conversations, newest first; without those that are archived or deleted, unless you ask for them."""
    filters = listing.Filters(
        archived=False if archived is None and not deleted else archived,
        pinned=pinned,
        tags=tag,
        metadata=metadata,
        assistant_id=assistant_id,
        deleted=deleted,
    )
    items, next_cursor = await db.run(listing.conversations_page, request.user, filters, limit=limit, cursor=cursor)
    return {"items": items, "next_cursor": next_cursor}


@router.get(
    "/conversations/{uuid:conversation_id}",
    response={200: ConversationOut, **problems("conversation_not_found")},
    tags=["conversations"],
)
async def get_conversation(request: ApiRequest, conversation_id: UUID) -> Conversation:
    """One conversation; its messages have an endpoint of their own."""
    return await db.run(lookup.read_conversation, request.user, conversation_id)


@router.patch(
    "/conversations/{uuid:conversation_id}",
    response={200: ConversationOut, **problems(*BODY, "unknown_provider", "conversation_not_found")},
    tags=["conversations"],
)
async def change_conversation(request: ApiRequest, conversation_id: UUID, body: ConversationPatch) -> Conversation:
    """Changes the fields that are sent. A new provider without a model takes its default model. A turn that runs in it
    goes on as it began."""
    changes = known(body.model_dump(exclude_unset=True))
    if "provider" in changes:
        provider = routing.provider_named(changes["provider"])
        changes.setdefault("model", provider.model)
    return await db.run(edits.change_conversation, request.user, conversation_id, changes)


@router.delete(
    "/conversations/{uuid:conversation_id}",
    response={204: None, **problems("conversation_not_found", "invalid_request")},
    tags=["conversations"],
)
async def delete_conversation(request: ApiRequest, conversation_id: UUID, permanent: Permanent = False) -> Status[None]:
    """Deletes the conversation: from now on it is not found, and a turn that runs in it ends as `cancelled`. It can be
    restored until this server's administrator purges it; with `permanent` it and its messages are gone at once."""
    await db.run(edits.delete_conversation, request.user, conversation_id, permanent=permanent)
    return Status(204, None)


@router.post(
    "/conversations/{uuid:conversation_id}/restore",
    response={200: ConversationOut, **problems("conversation_not_found")},
    tags=["conversations"],
)
async def restore_conversation(request: ApiRequest, conversation_id: UUID) -> Conversation:
    """Brings back a conversation that was deleted, as it was; `deleted=true` lists these. Others stay as they are."""
    return await db.run(edits.restore_conversation, request.user, conversation_id)
