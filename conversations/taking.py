"""A turn takes its conversation: one statement locks the row, reads it and counts the turn's messages on it."""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from conversations import lookup
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


def take(owner: User, conversation_id: UUID, *, title: str, messages: int) -> tuple[Conversation, bool]:
    """The owner's conversation, with `messages` more and, if it had none, the title; and whether a turn seems to run in
    it, which is to be looked up: one may have ended while this waited for it.

    To be called in the transaction that begins the turn. Raises Problem `conversation_not_found`, as for somebody
    else's or a deleted one.
    """
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    id_ = Conversation._meta.pk.get_db_prep_value(conversation_id, connection)
    found = list(Conversation.objects.raw(TAKE, [title, messages, now, id_, owner.pk]))
    if not found:
        raise lookup.no_conversation()
    return found[0], bool(vars(found[0])["answering"])
