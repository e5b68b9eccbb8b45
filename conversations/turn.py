"""What a turn is made of: what its caller asks, and the state it has while it runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import UUID

from chatproject.observability.gen_ai import GenAISpan
from conversations.answer import Answer
from conversations.keeping import Keeper
from conversations.models import Conversation, Message, MessageAttempt
from providers.base import ChatMessage, ChatRequest, Part
from providers.registry import Provider


class ToolResult(NamedTuple):
    """What a tool that the last answer called has said."""

    tool_call_id: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a caller wants of a turn. None means: as the conversation, or the provider, has it."""

    content: str
    """The text of the user's message; empty when the turn only brings tool results."""
    stream: bool
    detached: bool = False
    """Whether it runs on when its reader leaves, and its events are kept; of a turn with `stream`."""
    parts: list[Part] | None = None
    """The whole content, when it is more than text."""
    tool_results: tuple[ToolResult, ...] = ()
    reasoning: bool = False
    """Whether the model's reasoning is stored and sent."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """ChatRequest.extra."""
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    regenerates: UUID | None = None
    """The conversation's last answer, when this one comes in its place; nothing new is said then."""
    edits: UUID | None = None
    """The user's message in whose place this one comes, in a fork of the conversation."""


@dataclass(slots=True, eq=False, kw_only=True)
class Turn:
    """A turn under way. Times are time.perf_counter() seconds."""

    message: Message
    conversation: Conversation
    provider: Provider
    """The one that is asked now, as is `request`."""
    request: ChatRequest
    streaming: bool
    started: float
    wants_reasoning: bool = False
    metered: bool = False
    """Whether it is in the ledger of its API key, and is settled there at its end."""
    stored: bool = True
    """Whether it has rows: `message` and `conversation` of a turn without are never saved."""
    verbatim: bool = False
    """Whether the prompt is its caller's own, which nobody shortens."""
    answer: Answer = field(default_factory=Answer)
    """Of the latest attempt, as is `span`."""
    span: GenAISpan | None = None
    attempts: list[MessageAttempt] = field(default_factory=list)
    detached: bool = False
    """Whether it runs on when its caller leaves."""
    keeper: Keeper | None = None
    """Of its events, if these are kept."""
    task: asyncio.Task[Any] | None = None
    interrupted: bool = False
    stopped: bool = False
    """Whether somebody has asked for its end."""
    asked: tuple[Provider, ChatRequest] = field(init=False)
    """What was asked for: the whole prompt, whoever is asked now."""

    def __post_init__(self) -> None:
        self.asked = self.provider, self.request

    @property
    def id(self) -> UUID:
        return self.message.pk

    @property
    def conversation_id(self) -> str | None:
        """None of a turn that is not stored."""
        return str(self.conversation.pk) if self.stored else None

    @property
    def text(self) -> str:
        return self.answer.text

    def ask(self, provider: Provider, model: str, messages: list[ChatMessage]) -> None:
        """Turns to another provider or model."""
        self.provider = provider
        self.request = replace(self.request, model=model, messages=messages)

    def interrupt(self) -> None:
        """Ends it as `interrupted`: the worker is shutting down."""
        if self._end():
            self.interrupted = True

    def cancel(self) -> None:
        """Ends it as `cancelled`: somebody has asked for that, and its reader, if there is one, is told."""
        if self._end():
            self.stopped = True

    def _end(self) -> bool:
        """Whether it could still be ended: its fate may be decided. Once: a second would hit the first's clean-up."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
        return task is not None

    def since_start(self, moment: float) -> int:
        """Milliseconds."""
        return milliseconds(self.started, moment)


def milliseconds(start: float, end: float) -> int:
    """Between two time.perf_counter()."""
    return round((end - start) * 1000)
