"""An answer as it comes: put together from a provider's deltas."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from uuid_utils.compat import uuid7

from providers.base import ChatRequest, Delta, ToolCall, ToolCallDelta, Usage

IMAGE = "image_url"
LONGEST_ID = 128
IMAGE_TOKENS = 1_000
"""About what providers count for an image."""


@dataclass(slots=True)
class Call:
    """A tool call whose pieces are still coming."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    extra: Mapping[str, Any] | None = None

    def add(self, piece: ToolCallDelta) -> None:
        self.id = self.id or piece.id
        self.name = self.name or piece.name
        self.extra = self.extra or piece.extra
        if piece.arguments:
            self.arguments.append(piece.arguments)

    def is_complete(self) -> bool:
        """Whether its arguments are whole. No arguments are none."""
        arguments = "".join(self.arguments)
        try:
            json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return False
        return True

    def whole(self) -> ToolCall:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        call: ToolCall = {"id": self.id, "type": "function", "function": function}
        return call | {"extra_content": self.extra} if self.extra else call


@dataclass(slots=True)
class Answer:
    """What one attempt has said so far."""

    parts: list[str] = field(default_factory=list)
    reasoning_parts: list[str] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""
    """As the provider calls it."""
    first_token: float | None = None
    """A time.perf_counter(), in seconds; None before the first token."""

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def reasoning(self) -> str:
        return "".join(self.reasoning_parts)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Those that can be made: each has an id of its own, and none was cut off in the middle."""
        calls = [self.calls[index] for index in sorted(self.calls)]
        if self.finish_reason == "length":
            calls = list(takewhile(Call.is_complete, calls))
        ids = set[str]()
        for call in calls:
            # An id that cannot be stored with its result, or is another call's, is replaced by one of ours.
            if not 0 < len(call.id) <= LONGEST_ID or call.id in ids:
                call.id = f"call_{uuid7().hex}"
            ids.add(call.id)
        return [call.whole() for call in calls]

    def add(self, delta: Delta) -> None:
        if delta.is_token:
            if self.first_token is None:
                self.first_token = time.perf_counter()
            if delta.text:
                self.parts.append(delta.text)
            if delta.reasoning:
                self.reasoning_parts.append(delta.reasoning)
            for piece in delta.tool_calls:
                self.calls.setdefault(piece.index, Call()).add(piece)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
        self.model = delta.model or self.model

    def usage_of(self, request: ChatRequest) -> Usage | None:
        """As the provider counted, or else our own estimate; None when it has neither counted nor said anything."""
        if self.usage is not None or self.first_token is None:
            return self.usage
        prompt = sum(tokens_in(message) for message in request.messages) + tokens_in(request.extra)
        completion = tokens_in([self.text, self.reasoning, self.tool_calls])
        return Usage(prompt, completion, prompt + completion, estimated=True)


def tokens_in(value: object) -> int:
    """About how many tokens there are in a message, or any JSON value: a quarter of its UTF-8 bytes.

    A rule of thumb (https://platform.openai.com/tokenizer); each family of models has a tokenizer of its own.
    """
    if isinstance(value, dict) and value.get("type") == IMAGE:
        return IMAGE_TOKENS
    if isinstance(value, dict):
        return sum(map(tokens_in, value.values()))
    if isinstance(value, list):
        return sum(map(tokens_in, value))
    return -(-len(value.encode()) // 4) if isinstance(value, str) else 0
