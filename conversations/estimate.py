"""About how many tokens something is, by the bytes of its text: each family of models has a tokenizer of its own.

A rule of thumb for English says four bytes a token (https://platform.openai.com/tokenizer). Whoever must not come out
too low divides by less.
"""

import json

from conversations.content import is_image
from providers.base import ChatMessage

IMAGE_TOKENS = 1_000
"""About what providers count for an image."""


def of_text(text: str, bytes_per_token: int) -> int:
    return -(-len(text.encode()) // bytes_per_token)


def of_json(value: object, bytes_per_token: int) -> int:
    """Of tool calls, or the descriptions of tools: as they are sent, numbers, brackets and all."""
    return of_text(json.dumps(value, ensure_ascii=False), bytes_per_token) if value else 0


def of_message(message: ChatMessage, bytes_per_token: int) -> int:
    content = message["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    said = sum(IMAGE_TOKENS if is_image(part) else of_text(part["text"], bytes_per_token) for part in parts)
    names = (message["role"], message.get("name", ""), message.get("tool_call_id", ""))
    said += sum(of_text(name, bytes_per_token) for name in names if name)
    return said + of_json(message.get("tool_calls"), bytes_per_token)
