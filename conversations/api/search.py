"""Search over what was said."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Field, Router, Schema

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from conversations.api.answering import Cursor, Limit
from conversations.models import Role
from conversations.search import finding
from conversations.text import Text

router = Router()

QUERY = (
    'Words, and "phrases" in quotes, that a message or a title has, all of them. Case and accents make no difference.'
    " When nothing has the last word, it may be the beginning of one."
)
SNIPPET = (
    "The part of the text around what was found, as HTML: `<mark>` around what was found, no other element, and"
    " everything else escaped."
)


class FoundOut(Schema):
    conversation_id: UUID
    message_id: UUID | None = Field(description="Null when it is the conversation's title that was found.")
    role: Role | None = Field(description="Of the message: `user` or `assistant`.")
    title: str = Field(description="The conversation's.")
    snippet: str = Field(description=SNIPPET)
    score: float = Field(description="The higher, the better. Only those of one search can be compared.")
    created_at: datetime


class FoundPage(Schema):
    items: list[FoundOut]
    next_cursor: str | None


@router.get(
    "/conversations/search",
    response={200: FoundPage, **problems("conversation_not_found", "invalid_cursor", "invalid_request")},
    tags=["conversations"],
)
async def search_conversations(
    request: ApiRequest,
    q: Annotated[Text, Field(min_length=1, max_length=200, description=QUERY)],
    limit: Limit = 20,
    cursor: Cursor = None,
    role: Annotated[Literal["user", "assistant"] | None, Field(description="Only this side's messages.")] = None,
    conversation_id: Annotated[UUID | None, Field(description="Only in this conversation.")] = None,
) -> dict[str, Any]:
    """Searches the titles of your conversations, and what you and the assistant have said in them.

    The best first; of more than 1,000 that match, the newest 1,000. A new message is found within a few seconds. The
    first 16,000 words of a message can be found, in scripts without spaces between words the first 16,000 characters.
    """
    items, next_cursor = await db.run(
        finding.search, request.user, q, limit=limit, cursor=cursor, role=role, conversation_id=conversation_id
    )
    return {"items": items, "next_cursor": next_cursor}
