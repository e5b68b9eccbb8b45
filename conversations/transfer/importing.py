"""Stores what an export holds, as new conversations of the caller's. Database units.

They get new ids, in the order of the document: a list shows them as the newest. `created_at` stays, for people; the
last activity is the import, so that retention counts from there. None of it is a turn: statistics, budgets and
Sentry hear nothing of it.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.db import models, transaction
from uuid_utils.compat import uuid7

from conversations.models import Conversation, ConversationTag, Message, Status
from conversations.transfer.parsing import parse_document, parse_lines
from conversations.transfer.schemas import ConversationIn, MessageIn

BATCH = 500


class Imported(NamedTuple):
    ids: list[tuple[UUID, UUID | None]]
    """Of each conversation: the new one, and that in the document."""
    messages: int


def import_body(owner: User, body: bytes, lines: bool) -> Imported:
    """All of it or nothing. `lines`: it is JSON Lines. Raises Problem `invalid_json` or `invalid_request`."""
    return store(owner, parse_lines(body) if lines else parse_document(body))


@transaction.atomic
def store(owner: User, found: list[ConversationIn]) -> Imported:
    conversations: list[Conversation] = []
    messages: list[Message] = []
    tags: list[ConversationTag] = []
    for item, new_id in zip(found, new_ids(len(found)), strict=True):
        own = messages_of(item, new_id)
        conversations.append(conversation_of(owner, item, new_id, own))
        messages += own
        tags += [ConversationTag(conversation_id=new_id, name=name) for name in item.tags]
    insert(Conversation, conversations)
    insert(Message, messages)
    ConversationTag.objects.bulk_create(tags, BATCH)
    return Imported([(made.pk, item.id) for made, item in zip(conversations, found, strict=True)], len(messages))


def new_ids(count: int) -> list[UUID]:
    return sorted(uuid7() for _ in range(count))


def insert(model: type[models.Model], rows: list[Any]) -> None:
    """With their `created_at`, which the field sets to now when a row is made."""
    moments: list[datetime] = [row.created_at for row in rows]
    model._default_manager.bulk_create(rows, BATCH)
    for row, moment in zip(rows, moments, strict=True):
        row.created_at = moment
    model._default_manager.bulk_update(rows, ["created_at"], BATCH)


def conversation_of(owner: User, item: ConversationIn, new_id: UUID, messages: list[Message]) -> Conversation:
    return Conversation(
        id=new_id,
        owner=owner,
        title=item.title,
        provider=item.provider,
        model=item.model,
        system_prompt=item.system_prompt,
        metadata=item.metadata,
        parameters=dict(item.parameters),
        archived=item.archived,
        pinned=item.pinned,
        created_at=item.created_at,
        message_count=sum(message.superseded_by is None for message in messages),
        token_count=sum(message.total_tokens or 0 for message in messages),
        failure_count=sum(message.status == Status.FAILED for message in messages),
        cost_usd=total(message.cost_usd for message in messages),
    )


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def messages_of(item: ConversationIn, conversation_id: UUID) -> list[Message]:
    ids = new_ids(len(item.messages))
    renamed: dict[UUID | None, UUID] = {m.id: new for m, new in zip(item.messages, ids, strict=True) if m.id}
    return [
        message_of(message, id=new, conversation_id=conversation_id, superseded_by=renamed.get(message.superseded_by))
        for message, new in zip(item.messages, ids, strict=True)
    ]


def message_of(item: MessageIn, **fields: Any) -> Message:
    usage = item.usage.model_dump() if item.usage else {}
    estimated = usage.pop("estimated", False)
    # Nobody runs the turns that were under way.
    running = item.status == Status.STREAMING
    return Message(
        role=item.role,
        content=item.content,
        parts=item.parts,
        reasoning=item.reasoning,
        tool_calls=[call.model_dump(exclude_none=True) for call in item.tool_calls] if item.tool_calls else None,
        tool_call_id=item.tool_call_id,
        status=Status.INTERRUPTED if running else item.status,
        finish_reason=item.finish_reason,
        error_code="interrupted" if running else item.error_code,
        provider=item.provider,
        model=item.model,
        **usage,
        usage_estimated=estimated,
        cost_usd=None if item.cost_usd is None else Decimal(str(item.cost_usd)).quantize(Decimal("1e-8")),
        ttft_ms=item.ttft_ms,
        latency_ms=item.latency_ms,
        created_at=item.created_at,
        **fields,
    )
