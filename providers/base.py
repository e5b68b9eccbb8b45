"""What a provider is to the rest of the server: something that answers a request with a stream of deltas."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

EXTRA = "extra_content"

Part = dict[str, Any]
"""As OpenAI has it: {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}."""

ToolCall = dict[str, Any]
"""{"id", "type": "function", "function": {"name", "arguments"}, "extra_content"?}; the arguments are JSON, as a string.

`extra_content` is what the provider that made the call, and it alone, wants to see again beside it: Gemini refuses a
result without its "thought signature" (https://ai.google.dev/gemini-api/docs/thought-signatures). For a provider that
wants the answer's reasoning back it is kept here too; see providers/reasoning.py.
"""


class ChatMessage(TypedDict):
    role: str
    content: str | list[Part] | None
    """None beside tool calls without a text."""
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    """Of a tool's result: the call that it answers."""
    name: NotRequired[str]
    """Of one speaker among several, where the caller gives one."""


def strings_of(value: Any) -> Iterator[str]:
    """Every string in a message or any other JSON value; a mapping's keys as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from strings_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_of(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One attempt: the model, the whole prompt (system prompt first) and the sampling parameters."""

    model: str
    messages: list[ChatMessage]
    temperature: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What goes to the provider as it is: `tools`, `tool_choice`, `response_format`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    """Those of the prompt that the provider read from its cache, which costs less."""
    reasoning_tokens: int = 0
    """Those of the completion that the model did not say."""
    estimated: bool = False
    """Whether they are our guess, since the provider reported none."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: `id` and `name` come once, `arguments` in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: Mapping[str, Any] | None = None
    """Its `extra_content`; comes once."""


class Delta(NamedTuple):
    """A piece of an answer. Each field is set when the provider sent it, in any order and number of deltas."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    reasoning: str = ""
    """What the model says to itself; never part of the answer."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    refused: bool = False
    """Whether the text says that the model will not answer, where the provider tells the two apart."""

    @property
    def is_token(self) -> bool:
        """Whether the model has said anything with it."""
        return bool(self.text or self.reasoning or self.tool_calls)


class ChatProvider(Protocol):
    """There is one way to answer, a stream; whoever wants the whole drains it."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Yields deltas up to the provider's finish, of which there is one. Raises a ProviderError, and only that, for
        the provider's faults.

        Closing or cancelling the iterator ends the provider's work at once. How long to wait for it is the caller's
        to say, but for the connection.
        """
        ...
