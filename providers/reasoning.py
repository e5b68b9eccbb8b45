"""The reasoning of an answer with tool calls, for providers that want it back.

DeepSeek's models think unless told not to, and refuse (400) a request with tools in which an answer lacks its
`reasoning_content` (https://api-docs.deepseek.com/guides/thinking_mode). It is kept with the first of the calls, since
only their results need it; for other answers, and those of another provider, an empty one will do.
"""

from dataclasses import replace
from typing import Any

from providers.base import EXTRA, ChatMessage, ToolCallDelta

KEY = "reasoning_content"


class Reasoning:
    """What a model says to itself before its first tool call."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def beside(self, calls: tuple[ToolCallDelta, ...]) -> tuple[ToolCallDelta, ...]:
        """The calls, the first of the answer with its reasoning."""
        if not calls or not self._pieces:
            return calls
        extra = {**(calls[0].extra or {}), KEY: "".join(self._pieces)}
        self._pieces.clear()
        return (replace(calls[0], extra=extra), *calls[1:])


def given_back(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """The messages with the reasoning of each answer."""
    return [_given_back(message) if message["role"] == "assistant" else {**message} for message in messages]


def _given_back(message: ChatMessage) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return {**message, KEY: ""}
    bare = [{key: value for key, value in call.items() if key != EXTRA} for call in calls]
    return {**message, KEY: calls[0].get(EXTRA, {}).get(KEY, ""), "tool_calls": bare}
