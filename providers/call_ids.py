"""Ids of tool calls for providers that are particular about them.

Mistral takes nine letters and digits and nothing else; a conversation may have calls of another provider, or ours.
"""

import re
from hashlib import sha256

from providers.base import ChatMessage

SHORT = re.compile(r"[A-Za-z0-9]{9}")


def shortened(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The messages with ids that Mistral takes: a call and its result still have the same."""
    return [_shortened(message) for message in messages]


def _shortened(message: ChatMessage) -> ChatMessage:
    if "tool_calls" in message:
        return {**message, "tool_calls": [{**call, "id": short(call["id"])} for call in message["tool_calls"]]}
    if "tool_call_id" in message:
        return {**message, "tool_call_id": short(message["tool_call_id"])}
    return message


def short(call_id: str) -> str:
    return call_id if SHORT.fullmatch(call_id) else sha256(call_id.encode()).hexdigest()[:9]
