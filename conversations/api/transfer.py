"""Conversations taken along, and brought in."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http.response import HttpResponseBase
from ninja import Field, Query, Router, Schema, Status
from pydantic import AfterValidator, BeforeValidator

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from chatproject.problems import Problem
from conversations.text import no_number
from conversations.transfer.importing import import_body
from conversations.transfer.openapi import import_of
from conversations.transfer.reading import Chosen
from conversations.transfer.stream import export
from conversations.transfer.writing import media_types

router = Router()

JSON_LINES = "application/x-ndjson"


def in_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if not 1970 <= moment.year < 9999:  # databases and time zones have their difficulties beyond
        raise ValueError("must be from the years 1970 to 9998")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


Ids: Any = Query(  # type: ignore[type-arg]  # written as a class for type checkers
    [], max_length=50, description="These alone. Repeat the parameter for each."
)
AnyFormat = Annotated[Literal["jsonl", "json", "markdown"], Field(description="What kind of file.")]
Format = Annotated[Literal["json", "markdown"], Field(description="What kind of file.")]
Since = Annotated[
    datetime | None,
    BeforeValidator(no_number),
    AfterValidator(in_utc),
    Field(description="With some activity at or after this moment; in UTC by default."),
]
Until = Annotated[
    datetime | None,
    BeforeValidator(no_number),
    AfterValidator(in_utc),
    Field(description="With their last activity before this moment; UTC by default."),
]


class ImportedConversation(Schema):
    id: UUID
    source_id: UUID | None = Field(description="Its id in what you sent.")


class ImportOut(Schema):
    conversation_count: int
    message_count: int
    conversations: list[ImportedConversation] = Field(description="In the order of what you sent.")


@router.get(
    "/conversations/export",
    response=problems("conversation_not_found", "invalid_request"),
    openapi_extra=media_types("jsonl", "json", "markdown"),
    tags=["transfer"],
)
async def export_conversations(
    request: ApiRequest,
    format: AnyFormat = "jsonl",
    ids: list[UUID] = Ids,
    since: Since = None,
    until: Until = None,
) -> HttpResponseBase:
    """Your conversations with all of their messages, oldest first, as a file.

    `jsonl` has a conversation on each line and the counts on a last one, `json` is one document; both can be
    imported. `markdown` is for people. An export that lacks its end (the line with the counts, the closing brackets,
    the sentence that says so) broke off. What changes meanwhile is exported as it is when its turn comes.
    """
    chosen = Chosen(owner=request.user, ids=ids, since=since, until=until)
    return await export(chosen, format, "conversations")


@router.get(
    "/conversations/{uuid:conversation_id}/export",
    response=problems("conversation_not_found", "invalid_request"),
    openapi_extra=media_types("json", "markdown"),
    tags=["transfer"],
)
async def export_conversation(request: ApiRequest, conversation_id: UUID, format: Format = "json") -> HttpResponseBase:
    """One conversation with all of its messages, as a file: the same document with one conversation."""
    chosen = Chosen(owner=request.user, ids=[conversation_id])
    return await export(chosen, format, f"conversation-{conversation_id}")


@router.post(
    "/conversations/import",
    response={
        201: ImportOut,
        **problems("invalid_json", "unsupported_media_type", "body_too_large", "invalid_request"),
    },
    openapi_extra=import_of(JSON_LINES),
    tags=["transfer"],
)
async def import_conversations(request: ApiRequest) -> Status[dict[str, Any]]:
    """Makes new conversations of yours from an export, all of them or none: JSON, or JSON Lines.

    They get new ids and keep their `created_at`; a list shows them as the newest. They count neither as turns nor as
    spending. An answer that was under way becomes `interrupted`. Split a larger export by its lines, and leave the
    counts on the last one out.
    """
    media_type = (request.content_type or "").lower()
    lines = media_type == JSON_LINES
    if not lines and media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem("unsupported_media_type", f"Send JSON as application/json, or JSON Lines as {JSON_LINES}.")
    done = await db.run(import_body, request.user, request.body, lines)
    made = [{"id": new, "source_id": old} for new, old in done.ids]
    return Status(201, {"conversation_count": len(made), "message_count": done.messages, "conversations": made})
