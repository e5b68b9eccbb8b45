"""The database units of a turn. Each is one transaction, synchronous, run through chatproject.db."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from chatproject.pagination import page
from chatproject.problems import Problem
from conversations import history
from conversations.models import TITLE_LENGTH, Conversation, Message, Role, Status
from providers.base import ChatMessage
from providers.registry import Provider

LEASE = timedelta(seconds=15)
"""How long a turn whose worker has died keeps its conversation busy; several missed heartbeats."""

DEAD: dict[str, Any] = {"status": Status.INTERRUPTED, "error_code": "interrupted", "lease_until": None}
"""What becomes of a turn whose worker has died."""

Route = Callable[[Conversation | None], tuple[Provider, str]]
"""Chooses the provider and the model for a turn of this conversation; None is one yet to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a turn starts from. `conversation_id` None makes a new conversation, with the fields `new`."""

    owner: User
    conversation_id: UUID | None
    new: dict[str, Any]
    user_message_id: UUID
    message_id: UUID
    """The assistant's message; named in advance, so that a caller who is cancelled meanwhile can still end it."""
    content: str
    route: Route
    system_prompt: str
    """For a conversation that has none."""
    request_id: str
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    conversation: Conversation
    message: Message
    provider: Provider
    prompt: list[ChatMessage]


def conversation_of(owner: User, conversation_id: UUID, *, lock: bool = False) -> Conversation:
    """The owner's conversation. Raises Problem `conversation_not_found`, also for somebody else's.

    `lock` keeps a turn's start and a deletion apart until the transaction ends (SQLite has one writer anyway).
    """
    rows = Conversation.objects.select_for_update() if lock else Conversation.objects.all()
    found = rows.filter(pk=conversation_id, owner=owner).first()
    if found is None:
        raise Problem("conversation_not_found", "You have no conversation with this id.")
    return found


def change_conversation(owner: User, conversation_id: UUID, changes: dict[str, Any]) -> Conversation:
    if changes:
        Conversation.objects.filter(pk=conversation_id, owner=owner).update(**changes)
    return conversation_of(owner, conversation_id)


@transaction.atomic
def delete_conversation(owner: User, conversation_id: UUID) -> None:
    conversation_of(owner, conversation_id, lock=True).delete()


def messages_page(
    owner: User, conversation_id: UUID, limit: int, cursor: str | None
) -> tuple[list[Message], str | None]:
    conversation_of(owner, conversation_id)
    messages = Message.objects.filter(conversation=conversation_id)
    return page(messages, limit=limit, cursor=cursor, newest_first=False)


def start_turn(start: Start) -> Started:
    """Stores the user's message and the assistant's, still empty, and reads what goes to the provider.

    Raises Problem `conversation_not_found` or `turn_in_progress`; then nothing is written.
    """
    try:
        with transaction.atomic():
            return _start(start)
    except IntegrityError:
        # Two turns passed the look-up at once; the database let one in.
        raise busy() from None


def busy() -> Problem:
    return Problem(
        "turn_in_progress",
        "Wait for the running turn of this conversation to end, or use another conversation.",
        headers={"Retry-After": "1"},
    )


def _start(start: Start) -> Started:
    if start.conversation_id is None:
        provider, model = start.route(None)
        conversation = Conversation(owner=start.owner, provider=provider.name, model=model, **start.new)
        conversation.save(force_insert=True)
    else:
        conversation = conversation_of(start.owner, start.conversation_id, lock=True)
        provider, model = start.route(conversation)
        _take_over_dead_turn(conversation)
    prompt = build_prompt(start, conversation, provider)
    answer = _insert_messages(start, conversation, provider, model)
    return Started(conversation=conversation, message=answer, provider=provider, prompt=prompt)


def build_prompt(start: Start, conversation: Conversation, provider: Provider) -> list[ChatMessage]:
    """The system prompt and the new message, always; between them as much history as the provider's budget holds."""
    system = conversation.system_prompt or start.system_prompt
    first: list[ChatMessage] = [{"role": "system", "content": system}] if system else []
    last: ChatMessage = {"role": "user", "content": start.content}
    budget = provider.history_tokens - sum(map(history.size_of, (*first, last)))
    past = history.window(conversation.pk, budget) if start.conversation_id else []
    return [*first, *past, last]


def _insert_messages(start: Start, conversation: Conversation, provider: Provider, model: str) -> Message:
    ids = {"request_id": start.request_id, "trace_id": start.trace_id}
    asked = Message(id=start.user_message_id, conversation=conversation, role=Role.USER, content=start.content, **ids)
    answer = Message(
        id=start.message_id,
        conversation=conversation,
        role=Role.ASSISTANT,
        status=Status.STREAMING,
        provider=provider.name,
        model=model,
        lease_until=timezone.now() + LEASE,
        **ids,
    )
    Message.objects.bulk_create([asked, answer])
    Conversation.objects.filter(pk=conversation.pk).update(
        # In SQL: a title that is given while the turn starts must not be lost.
        title=Case(When(title="", then=Value(title_from(start.content))), default=F("title")),
        message_count=F("message_count") + 2,
        last_activity_at=asked.created_at,
    )
    return answer


def _take_over_dead_turn(conversation: Conversation) -> None:
    """Ends the conversation's live turn when its lease has run out; raises `turn_in_progress` when it has not."""
    turn = Message.objects.filter(conversation=conversation, status=Status.STREAMING).first()
    if turn is None:
        return
    if turn.live:
        raise busy()
    Message.objects.filter(pk=turn.pk, status=Status.STREAMING).update(**DEAD)


def title_from(content: str) -> str:
    """A conversation's title from its first message: its first line, cut at a word."""
    line = " ".join(content.split("\n", 1)[0].split()) or " ".join(content.split())
    if len(line) <= 80:
        return line
    return line[:80].rsplit(" ", 1)[0][:TITLE_LENGTH] + "…"


def abandon_turn(message_id: UUID, status: Status) -> None:
    """Ends a turn that was stored but never ran."""
    Message.objects.filter(pk=message_id, status=Status.STREAMING).update(status=status, lease_until=None)


def finish_turn(message: Message, fields: Iterable[str]) -> None:
    """Writes the named fields of a finished message and counts it on its conversation."""
    values = {name: getattr(message, name) for name in fields}
    with transaction.atomic():
        # update(), not save(): the conversation may have been deleted meanwhile.
        Message.objects.filter(pk=message.pk).update(**values, lease_until=None)
        Conversation.objects.filter(pk=message.conversation_id).update(
            token_count=F("token_count") + (message.total_tokens or 0),
            failure_count=F("failure_count") + int(message.status == Status.FAILED),
            last_activity_at=timezone.now(),
        )


def keep_alive(texts: dict[UUID, str]) -> None:
    """Extends the leases of the live turns and saves their partial texts: {message id: text so far}."""
    until = timezone.now() + LEASE
    with transaction.atomic():
        for message_id, text in texts.items():
            Message.objects.filter(pk=message_id, status=Status.STREAMING).update(content=text, lease_until=until)


def sweep_turns(alive: Collection[UUID] = ()) -> int:
    """Ends as `interrupted` the turns whose workers have died, wherever they ran; returns how many there were.

    Going by the lease, not by age: a turn that lives, on this node or another, keeps its own. `alive` are those that
    the caller knows to live.
    """
    dead = Message.objects.filter(status=Status.STREAMING, lease_until__lt=timezone.now()).exclude(pk__in=alive)
    if not dead.exists():  # as nearly always; an UPDATE of nothing would lock SQLite all the same
        return 0
    return dead.update(**DEAD)
