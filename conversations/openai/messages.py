"""The caller's messages as providers get them, and what of them a conversation that is stored already lacks."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from chatproject.problems import Problem
from conversations import history
from conversations.content import MAX_PARTS, split, within_limits
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
    there is nothing, or it does not fit into one message.
    """
    after = list(takewhile(lambda message: message["role"] != Role.ASSISTANT, reversed(messages)))[::-1]
    results = tuple(
        ToolResult(message["tool_call_id"], str(message["content"]))
        for message in after
        if message["role"] == Role.TOOL
    )
    if len({result.tool_call_id for result in results}) < len(results):
        raise invalid("must have one result of each tool_call_id")
    questions = history.merged([message for message in after if message["role"] == Role.USER and says(message)])
    text, parts = split(without_blanks(questions[0]["content"]) if questions else "")
    if not results and not questions:
        raise invalid("must end with what is new: a user's message that says something, or tool results")
    check_size(text, parts)
    return results, text, parts


def says(message: ChatMessage) -> bool:
    content = message["content"]
    return bool(content.strip() if isinstance(content, str) else content)


def without_blanks(content: str | list[Part] | None) -> str | list[Part] | None:
    """Without the text parts that say nothing: those of a conversation's messages all say something."""
    if isinstance(content, list):
        return [part for part in content if part["type"] != "text" or part["text"].strip()]
    return content


def check_size(text: str, parts: list[Part] | None) -> None:
    """Raises `invalid_request` for more than a message may hold: several may have become one."""
    if parts and len(parts) > MAX_PARTS:
        raise invalid(f"what is new must have at most {MAX_PARTS} parts")
    try:
        within_limits(parts or [{"type": "text", "text": text}])
    except ValueError as error:
        raise invalid(f"what is new: {error}") from None


def invalid(wrong: str) -> Problem:
    return Problem("invalid_request", f"messages: {wrong}.", errors=[{"field": "messages", "message": wrong}])
