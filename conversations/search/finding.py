"""The search itself. Database units.

Of all that matches the newest DEPTH documents are weighed and paged through, so that a word that is everywhere costs
no more than one that is not.
"""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import CharField, Value
from django.db.models.functions import Substr

from chatproject.problems import Problem
from conversations import lookup
from conversations.models import Conversation, Message
from conversations.search.documents import Facts, Hit, Search, backend, fact
from conversations.search.snippets import snippet
from conversations.search.terms import MAX_CHARS, Query, parse

DEPTH = 1_000
LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message, or a conversation by its title: then `message_id` and `role` are None."""

    conversation_id: UUID
    message_id: UUID | None
    role: str | None
    title: str
    snippet: str
    """HTML, see snippets.py."""
    score: float
    created_at: datetime


class Place(NamedTuple):
    """Where a page begins; what a cursor holds."""

    offset: int = 0
    newest: int = LAST_ID
    """The newest document of the first page's search: what is indexed later moves nothing."""
    extended: bool = False
    """Whether the last word was the beginning of what was found."""


def search(
    owner: User,
    text: str,
    *,
    limit: int,
    cursor: str | None = None,
    role: str | None = None,
    conversation_id: UUID | None = None,
) -> tuple[list[Found], str | None]:
    """What of the owner's has every word and "phrase" of the text, best first, and the cursor of the next page.

    When nothing has the last word, those that begin with it count. Raises Problem `invalid_cursor`, and
    `conversation_not_found` for a conversation that is not the owner's.
    """
    place = decode(cursor) if cursor is not None else Place()
    facts: Facts = ()
    if role is not None:
        facts += (fact(role),)
    if conversation_id is not None:
        facts += (fact(lookup.conversation_of(owner, conversation_id).pk.hex),)
    query, hits, place = find(parse(text), facts, owner.pk, place)
    ranked = sorted(hits, key=lambda hit: (-hit.score, -hit.id))
    page = ranked[place.offset : place.offset + limit]
    more = len(ranked) > place.offset + limit
    return shown(page, query), encode(place._replace(offset=place.offset + limit)) if more else None


def find(query: Query, facts: Facts, owner_id: int | None, place: Place) -> tuple[Query, list[Hit], Place]:
    """The hits, what they match, and the place that later pages keep to."""
    if not query.clauses:
        return query, [], place
    wanted = Search(
        query=query.extended() if place.extended else query,
        facts=facts,
        owner_id=owner_id,
        newest=place.newest,
        limit=DEPTH,
    )
    hits = backend().find(wanted)
    if not hits and query.open and not place.extended:
        wanted = replace(wanted, query=query.extended())
        hits = backend().find(wanted)
        place = place._replace(extended=True)
    return wanted.query, hits, place._replace(newest=hits[0].id if hits else place.newest)


def conversations(text: str) -> set[UUID]:
    """Of everybody's, the deleted ones too, those in which a message or the title has every word; for the admin."""
    _, hits, _ = find(parse(text), (), None, Place())
    return {hit.conversation_id for hit in hits}


def shown(hits: Sequence[Hit], query: Query) -> list[Found]:
    """With what is told of each; what has been deleted since is left out."""
    messages = Message.objects.filter(pk__in=[hit.message_id for hit in hits if hit.message_id])
    titled = Conversation.objects.filter(pk__in=[hit.conversation_id for hit in hits if not hit.message_id])
    texts = messages.values_list("id", "role", "conversation__title", Substr("content", 1, MAX_CHARS), "created_at")
    titles = titled.values_list("id", Value(None, CharField()), "title", "title", "created_at")
    rows = {id_: row for id_, *row in [*texts, *titles]}
    found = []
    for hit in hits:
        if row := rows.get(hit.message_id or hit.conversation_id):
            role, title, text, created_at = row
            found.append(
                Found(
                    conversation_id=hit.conversation_id,
                    message_id=hit.message_id,
                    role=role,
                    title=title,
                    snippet=snippet(text, query),
                    score=round(hit.score, 6),
                    created_at=created_at,
                )
            )
    return found


CURSOR = struct.Struct(">qH?")


def encode(place: Place) -> str:
    packed = CURSOR.pack(place.newest, place.offset, place.extended)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(cursor: str) -> Place:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if cursor.isascii() else b""
        newest, offset, extended = CURSOR.unpack(raw)
        if encode(place := Place(offset, newest, extended)) == cursor:
            return place
    except (binascii.Error, ValueError, struct.error):
        pass
    raise Problem("invalid_cursor", "Pass the next_cursor of the page before, unchanged, or leave cursor out.")
