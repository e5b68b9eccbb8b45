"""The export's format: what it says of a conversation and of a message, whatever it is written as.

Ids are those of this server, and mean nothing to another one but for what they tie together. What belongs to the
server and not to the caller is left out: request ids, traces, Sentry's events, attempts.
"""

import json
from datetime import UTC, datetime
from typing import Any

from conversations.models import Conversation, Message, Role

FORMAT = "ai-chat-export"
VERSION = 1

HEAD = {"format": FORMAT, "version": VERSION}

Json = dict[str, Any]


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def moment(value: datetime) -> str:
    """In UTC, to the microsecond: `2026-03-01T12:00:00.000000Z`."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def of_conversation(conversation: Conversation) -> Json:
    """Without its messages. Reads its tags."""
    return {
        "id": str(conversation.pk),
        "title": conversation.title,
        "provider": conversation.provider,
        "model": conversation.model,
        "system_prompt": conversation.system_prompt,
        "metadata": conversation.metadata,
        "parameters": conversation.parameters,
        "tags": sorted(tag.name for tag in conversation.tag_rows.all()),
        "archived": conversation.archived,
        "pinned": conversation.pinned,
        "created_at": moment(conversation.created_at),
    }


def of_message(message: Message, parts: list[Any] | None) -> Json:
    """`parts` is the message's column of this name, which is read by itself. Only an answer has the facts of a turn."""
    told: Json = {
        "id": str(message.pk),
        "role": message.role,
        "content": message.content,
        "created_at": moment(message.created_at),
    }
    if parts is not None:
        told["parts"] = parts
    if message.role == Role.TOOL:
        told["tool_call_id"] = message.tool_call_id
    if message.role == Role.ASSISTANT:
        told |= of_turn(message)
    return told


def of_turn(message: Message) -> Json:
    return {
        "reasoning": message.reasoning,
        "tool_calls": message.tool_calls,
        "status": message.status,
        "finish_reason": message.finish_reason,
        "error_code": message.error_code,
        "provider": message.provider,
        "model": message.model,
        "usage": usage(message),
        "cost_usd": None if message.cost_usd is None else float(message.cost_usd),
        "ttft_ms": message.ttft_ms,
        "latency_ms": message.latency_ms,
        "superseded_by": str(message.superseded_by) if message.superseded_by else None,
    }


def usage(message: Message) -> Json | None:
    if message.total_tokens is None:
        return None
    return {
        "prompt_tokens": message.prompt_tokens,
        "completion_tokens": message.completion_tokens,
        "total_tokens": message.total_tokens,
        "estimated": message.usage_estimated,
    }
