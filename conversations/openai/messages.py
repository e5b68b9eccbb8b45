"""The caller's messages as providers get them, and what of them a conversation that is stored already lacks."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from chatproject.problems import Problem
from conversations import history
from conversations.content import split
from conversations.models import Role
from conversations.turn import ToolResult
from providers.base import ChatMessage, Part


def prompt_of(messages: Iterable[Mapping[str, Any]]) -> list[ChatMessage]:
    return [chat_message(message) for message in messages]


def chat_message(message: Mapping[str, Any]) -> ChatMessage:
    """`developer` is what OpenAI calls the system in newer models, which take both; other providers do not."""
    text, parts = split(message.get("content") or message.get("refusal"))
    role = "system" if message["role"] == "developer" else message["role"]
    found: ChatMessage = {"role": role, "content": parts or text}
    if calls := message.get("tool_calls"):
        found["tool_calls"] = calls
        found["content"] = text or None
    if "tool_call_id" in message:
        found["tool_call_id"] = message["tool_call_id"]
    if name := message.get("name"):
        found["name"] = name
    return found


def new_ones(messages: list[ChatMessage]) -> tuple[tuple[ToolResult, ...], str, list[Part] | None]:
    """What comes after the last answer: tool results, and the user's text and parts. Raises `invalid_request` when
    there is nothing.
    """
    after = list(takewhile(lambda message: message["role"] != Role.ASSISTANT, reversed(messages)))[::-1]
    results = tuple(
        ToolResult(message["tool_call_id"], str(message["content"]))
        for message in after
        if message["role"] == Role.TOOL
    )
    questions = history.merged([message for message in after if message["role"] == Role.USER])
    if not results and not questions:
        wrong = "must end with what is new: a user's message, or tool results"
        raise Problem("invalid_request", f"messages: {wrong}.", errors=[{"field": "messages", "message": wrong}])
    return results, *split(questions[0]["content"] if questions else "")
