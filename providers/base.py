"""What a provider is to the rest of the server: something that answers a request with a stream of deltas."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypedDict


class ChatMessage(TypedDict):
    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One attempt: the model, the whole prompt (system prompt first) and the sampling parameters."""

    model: str
    messages: list[ChatMessage]
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. Each field is set when the provider sent it, in any order and number of deltas."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None


class ChatProvider(Protocol):
    """There is one way to answer, a stream; whoever wants the whole drains it."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Yields deltas up to the provider's finish. Raises a ProviderError, and only that, for the provider's faults.

        Closing or cancelling the iterator ends the provider's work at once.
        """
        ...
