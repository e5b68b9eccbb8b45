"""A turn that leaves no rows of its own: its start and its end in the database, which are the budgets and the
statistics that hold for every turn. Each is one transaction, synchronous, run through chatproject.db.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from uuid_utils.compat import uuid7

from chatproject import writing
from chatproject.apikeys import ledger
from chatproject.apikeys.models import ApiKey
from conversations import spending, store
from conversations.models import Conversation, Message, Role, Status
from providers import breaker
from providers.base import ChatMessage
from providers.registry import Provider


@dataclass(slots=True, kw_only=True)
class Prompt:
    """A turn that begins with its caller's own messages, which go to the provider word for word."""

    owner: User
    key: ApiKey
    provider: Provider
    model: str
    messages: list[ChatMessage]
    extra: Mapping[str, Any]
    """ChatRequest.extra, as is `max_tokens`."""
    max_tokens: int | None
    request_id: str
    trace_id: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """Of the conversation that it may become."""
    row_ids: list[UUID] = field(init=False)
    """Those of the messages, should they be stored: the ids are the order, so that they come before the answer's."""
    message_id: UUID = field(init=False)
    """The answer's; named in advance, so that a caller who is cancelled meanwhile can still end it."""

    def __post_init__(self) -> None:
        self.row_ids = [uuid7() for _ in self.messages]
        self.message_id = uuid7()

    def reserve(self) -> spending.Reserved:
        """In the transaction that begins the turn; raises as spending.reserve does."""
        asked = (self.provider, self.model, self.messages, self.extra, self.max_tokens)
        return spending.reserve(self.key, self.message_id, *asked)

    def answer(self, conversation: Conversation) -> Message:
        """The assistant's message, still empty, and not saved."""
        return Message(
            id=self.message_id,
            conversation=conversation,
            role=Role.ASSISTANT,
            status=Status.STREAMING,
            provider=self.provider.name,
            model=self.model,
            request_id=self.request_id,
            trace_id=self.trace_id,
        )


@dataclass(frozen=True, slots=True)
class Begun:
    message: Message
    reserved: spending.Reserved


def start_turn(prompt: Prompt) -> Begun:
    """Reserves what the turn may take. Neither the message nor its conversation is ever saved."""
    breaker.refresh()  # here it costs no thread of its own
    conversation = Conversation(owner=prompt.owner, provider=prompt.provider.name, model=prompt.model)
    if not prompt.key.metered:
        return Begun(prompt.answer(conversation), prompt.reserve())
    with writing.atomic():
        return Begun(prompt.answer(conversation), prompt.reserve())


def abandon_turn(message_id: UUID) -> None:
    """Ends a turn that never ran."""
    ledger.settle(message_id, None, None)


def finish_turn(message: Message, *, metered: bool) -> None:
    """Settles and counts the finished turn."""
    with writing.atomic():
        if metered:
            ledger.settle(message.pk, message.total_tokens, message.cost_usd)
        store.count(message)
