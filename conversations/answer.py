"""An answer as it comes: put together from a provider's deltas."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from uuid_utils.compat import uuid7

from conversations import estimate
from providers.base import EXTRA, ChatRequest, Delta, ToolCall, ToolCallDelta, Usage

LONGEST_ID = 128
BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Call:
    """A tool call whose pieces are still coming."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    extra: Mapping[str, Any] | None = None

    def add(self, piece: ToolCallDelta) -> None:
        self.name = self.name or piece.name
        self.extra = self.extra or piece.extra
        if piece.arguments:
            self.arguments.append(piece.arguments)

    def is_complete(self) -> bool:
        """Whether it has a name, and its arguments are whole. No arguments are none."""
        if not self.name:
            return False
        arguments = "".join(self.arguments)
        try:
            json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return False
        return True

    def whole(self) -> ToolCall:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        call: ToolCall = {"id": self.id, "type": "function", "function": function}
        return call | {EXTRA: self.extra} if self.extra else call


@dataclass(slots=True)
class Answer:
    """What one attempt has said so far."""

    parts: list[str] = field(default_factory=list)
    reasoning_parts: list[str] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    finish_reason: str = ""
    refused: bool = False
    """Whether its text says that the model will not answer, where the provider tells the two apart."""
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
        return [call.whole() for call in calls]

    def add(self, delta: Delta) -> None:
        if delta.is_token:
            if self.first_token is None:
                self.first_token = time.perf_counter()
            if delta.text:
                self.parts.append(delta.text)
                self.refused = self.refused or delta.refused
            if delta.reasoning:
                self.reasoning_parts.append(delta.reasoning)
            for piece in delta.tool_calls:
                self._add_call(piece)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
        self.model = delta.model or self.model

    def _add_call(self, piece: ToolCallDelta) -> None:
        """A call has its id with its first piece: who reads the answer as it comes must know it by the same."""
        call = self.calls.get(piece.index)
        if call is None:
            ids = {other.id for other in self.calls.values()}
            call = self.calls[piece.index] = Call()
            # An id that cannot be stored with its result, or is another call's, is replaced by one of ours.
            call.id = piece.id if 0 < len(piece.id) <= LONGEST_ID and piece.id not in ids else f"call_{uuid7().hex}"
        call.add(piece)

    def usage_of(self, request: ChatRequest) -> Usage | None:
        """As the provider counted, or else our own estimate; None when it has neither counted nor said anything."""
        if self.usage is not None or self.first_token is None:
            return self.usage
        asked = sum(estimate.of_message(message, BYTES_PER_TOKEN) for message in request.messages)
        prompt = asked + estimate.of_json(request.extra, BYTES_PER_TOKEN)
        said = self.text, self.reasoning, *(f"{call.name}{''.join(call.arguments)}" for call in self.calls.values())
        completion = sum(estimate.of_text(text, BYTES_PER_TOKEN) for text in said)
        return Usage(prompt, completion, prompt + completion, estimated=True)
