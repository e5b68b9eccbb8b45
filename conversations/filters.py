"""What a list of conversations can be narrowed down to, as query parameters."""

from typing import Annotated
from uuid import UUID

from ninja import Field, Query
from pydantic import AfterValidator

from conversations.schemas import MAX_TAGS, TagName
from conversations.text import Text

MAX_PAIRS = 8


def pair(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not name or not colon:
        raise ValueError("must be NAME:VALUE, such as ticket:A-17")
    return text


Pair = Annotated[Text, Field(max_length=400), AfterValidator(pair)]

Archived = Annotated[
    bool | None,
    Field(description="Only those that are, or are not. By default those that are not; of the deleted ones, all."),
]
Pinned = Annotated[bool | None, Field(description="Only those that are, or are not.")]
WithTags = Annotated[
    list[TagName],
    Query(max_length=MAX_TAGS, description="Only those with this tag; several times: with all of these."),
]
WithMetadata = Annotated[
    list[Pair],
    Query(
        max_length=MAX_PAIRS,
        description=(
            "`NAME:VALUE`, such as `ticket:A-17`, `attempts:3`, `urgent:true`: only those whose metadata has NAME"
            " (without a colon) at its top, and there this string, or the number or boolean so written. Several times:"
            " all of these."
        ),
        examples=[["ticket:A-17"]],
    ),
]
OfAssistant = Annotated[UUID | None, Field(description="Only those that started from this assistant.")]
Deleted = Annotated[bool, Field(description="Those that you have deleted and can still restore, and no others.")]
