"""What belongs to a user: their conversations, messages and the attempts at these. Database units."""

from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import prefetch_related_objects

from chatproject.pagination import page
from chatproject.problems import Problem
from conversations.models import Conversation, Message, MessageAttempt, Role


def conversation_of(owner: User, conversation_id: UUID, *, lock: bool = False, deleted: bool = False) -> Conversation:
    """The owner's conversation; one that they have deleted only if `deleted` says so.

    `lock` keeps a turn's start and a deletion apart until the transaction ends (SQLite has one writer anyway).
    Raises Problem `conversation_not_found`, also for somebody else's.
    """
    found = _find(owner, conversation_id, lock=lock, deleted=deleted)
    if found is None:
        raise no_conversation()
    return found


def _find(owner: User, conversation_id: UUID, *, lock: bool, deleted: bool = False) -> Conversation | None:
    rows = Conversation.objects.select_for_update() if lock else Conversation.objects.all()
    if not deleted:
        rows = rows.filter(deleted_at__isnull=True)
    return rows.filter(pk=conversation_id, owner=owner).first()


def with_tags(conversation: Conversation) -> Conversation:
    """The same, ready to be shown: async code may not load anything."""
    prefetch_related_objects([conversation], "tag_rows")
    return conversation


def read_conversation(owner: User, conversation_id: UUID) -> Conversation:
    """Raises as `conversation_of` does."""
    return with_tags(conversation_of(owner, conversation_id))


def messages_page(
    owner: User, conversation_id: UUID, limit: int, cursor: str | None, *, superseded: bool = False
) -> tuple[list[Message], str | None]:
    """Oldest first; `superseded`: with the answers that others were made in place of.

    Raises Problem `conversation_not_found` or `invalid_cursor`.
    """
    conversation_of(owner, conversation_id)
    messages = Message.objects.filter(conversation=conversation_id)
    if not superseded:
        messages = messages.filter(superseded_by__isnull=True)
    return page(messages, limit=limit, cursor=cursor, newest_first=False)


def answer_of(owner: User, conversation_id: UUID, message_id: UUID, *, lock: bool = False) -> Message:
    """An assistant's message of the owner's. `lock`: nobody deletes it until the transaction ends.

    Raises Problem `message_not_found`, also for somebody else's; `invalid_request` for a message that is no answer.
    """
    # The conversation's row: it is what the API's deletion and the retention lock.
    mine = _find(owner, conversation_id, lock=lock)
    if mine is None:
        raise no_message()
    return must_be(message_in(mine, message_id), Role.ASSISTANT)


def message_in(conversation: Conversation, message_id: UUID) -> Message:
    """Raises Problem `message_not_found`."""
    message = Message.objects.filter(conversation=conversation, pk=message_id).first()
    if message is None:
        raise no_message()
    return message


def must_be(message: Message, role: Role) -> Message:
    """Raises `invalid_request` when the message has another role."""
    if message.role != role:
        wrong = f"is not {'an' if role == Role.ASSISTANT else 'a'} {role}'s message"
        raise Problem("invalid_request", f"message_id: {wrong}.", errors=[{"field": "message_id", "message": wrong}])
    return message


def no_conversation() -> Problem:
    return Problem("conversation_not_found", "You have no conversation with this id.")


def no_message() -> Problem:
    return Problem("message_not_found", "You have no message with this id in a conversation with that id.")


def attempts_of(owner: User, conversation_id: UUID, message_id: UUID) -> list[MessageAttempt]:
    """The attempts at an answer, in their order; see `answer_of` for what is raised."""
    return list(answer_of(owner, conversation_id, message_id).attempts.order_by("number"))
