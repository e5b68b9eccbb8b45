"""A turn takes its conversation: one statement locks the row, reads it and counts the turn's messages on it. When the
turn ends it gives the conversation back: another counts what it took.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from conversations import lookup, rows
from conversations.models import Conversation, Message

CONVERSATIONS = Conversation._meta.db_table

# A title that is given while the turn starts must not be lost.
TAKE = f"""
    UPDATE {CONVERSATIONS} SET title = CASE WHEN title = '' THEN %s ELSE title END,
        message_count = message_count + %s, last_activity_at = %s
    WHERE id = %s AND owner_id = %s AND deleted_at IS NULL
    RETURNING *, EXISTS (
        SELECT 1 FROM {Message._meta.db_table} m WHERE m.conversation_id = {CONVERSATIONS}.id AND m.status = 'streaming'
    ) AS answering
"""  # noqa: S608 -- names of our own

# NULL is a cost that is unknown: it changes nothing.
GIVE_BACK = f"""
    UPDATE {CONVERSATIONS} SET token_count = token_count + %s, failure_count = failure_count + %s,
        cost_usd = COALESCE(COALESCE(cost_usd, 0) + %s, cost_usd), last_activity_at = %s
    WHERE id = %s
"""  # noqa: S608 -- names of our own


def take(owner: User, conversation_id: UUID, *, title: str, messages: int) -> tuple[Conversation, bool]:
    """The owner's conversation, with `messages` more and, if it had none, the title; and whether a turn seems to run in
    it, which is to be looked up: one may have ended while this waited for it.

    To be called in the transaction that begins the turn. Raises Problem `conversation_not_found`, as for somebody
    else's or a deleted one.
    """
    found = list(Conversation.objects.raw(TAKE, [title, messages, _now(), rows.key(conversation_id), owner.pk]))
    if not found:
        raise lookup.no_conversation()
    return found[0], bool(vars(found[0])["answering"])


def give_back(conversation_id: UUID, *, tokens: int | None, failed: bool, cost_usd: Decimal | None) -> None:
    """Counts a turn that has ended, and whether it failed; US dollars; None is what is not known.

    To be called in the transaction that ends the turn. Locks the conversation; does nothing when it is gone.
    """
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK, [tokens or 0, int(failed), cost_usd, _now(), rows.key(conversation_id)])


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())
