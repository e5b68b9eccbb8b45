"""What belongs to a user: their conversations, messages and the attempts at these. Database units."""

from uuid import UUID

from django.contrib.auth.models import User

from chatproject.pagination import page
from chatproject.problems import Problem
from conversations.models import Conversation, Message, MessageAttempt, Role


def conversation_of(owner: User, conversation_id: UUID, *, lock: bool = False) -> Conversation:
    """The owner's conversation. Raises Problem `conversation_not_found`, also for somebody else's.

    `lock` keeps a turn's start and a deletion apart until the transaction ends (SQLite has one writer anyway).
    """
    rows = Conversation.objects.select_for_update() if lock else Conversation.objects.all()
    found = rows.filter(pk=conversation_id, owner=owner).first()
    if found is None:
        raise Problem("conversation_not_found", "You have no conversation with this id.")
    return found


def messages_page(
    owner: User, conversation_id: UUID, limit: int, cursor: str | None
) -> tuple[list[Message], str | None]:
    conversation_of(owner, conversation_id)
    messages = Message.objects.filter(conversation=conversation_id)
    return page(messages, limit=limit, cursor=cursor, newest_first=False)


def answer_of(owner: User, conversation_id: UUID, message_id: UUID, *, lock: bool = False) -> Message:
    """An assistant's message of the owner's. `lock`: nobody deletes it until the transaction ends.

    Raises Problem `message_not_found`, also for somebody else's; `invalid_request` for a message that is no answer.
    """
    # The conversation's row: it is what the API's deletion and the retention lock.
    rows = Conversation.objects.select_for_update() if lock else Conversation.objects.all()
    mine = rows.filter(pk=conversation_id, owner=owner).first()
    message = mine and Message.objects.filter(conversation=mine, pk=message_id).first()
    if not message:
        raise Problem("message_not_found", "You have no message with this id in a conversation with that id.")
    if message.role != Role.ASSISTANT:
        wrong = [{"field": "message_id", "message": "is not an assistant's message"}]
        raise Problem("invalid_request", "message_id: is not an assistant's message.", errors=wrong)
    return message


def attempts_of(owner: User, conversation_id: UUID, message_id: UUID) -> list[MessageAttempt]:
    """The attempts at an answer, in their order; see `answer_of` for what is raised."""
    return list(answer_of(owner, conversation_id, message_id).attempts.order_by("number"))
