"""What a turn is made of: what its caller asks, and the state it has while it runs."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from conversations.models import Conversation, Message
from providers.base import ChatRequest, Delta, Part, Usage
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


@dataclass(slots=True, eq=False, kw_only=True)
class Turn:
    """A turn under way. Times are time.perf_counter() seconds."""

    message: Message
    conversation: Conversation
    provider: Provider
    request: ChatRequest
    streaming: bool
    started: float
    parts: list[str] = field(default_factory=list)
    first_token: float | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    task: asyncio.Task[Any] | None = None
    interrupted: bool = False

    @property
    def id(self) -> UUID:
        return self.message.pk

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, delta: Delta) -> None:
        if delta.text:
            if self.first_token is None:
                self.first_token = time.perf_counter()
            self.parts.append(delta.text)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
        self.message.model = delta.model or self.message.model

    def interrupt(self) -> None:
        """Ends it as `interrupted`: the worker is shutting down."""
        self.interrupted = True
        if self.task is not None:
            self.task.cancel()

    def since_start(self, moment: float) -> int:
        """Milliseconds."""
        return round((moment - self.started) * 1000)
