"""An export for people. Texts stand as they are: most are Markdown already."""

import json
from datetime import UTC, datetime
from typing import Any

from conversations.content import is_image
from conversations.models import Conversation, Message, Role, Status

NAMES = {Role.SYSTEM: "System", Role.USER: "User", Role.ASSISTANT: "Assistant", Role.TOOL: "Tool result"}


def of_conversation(conversation: Conversation) -> str:
    """The heading and what is known of the conversation, without its messages."""
    facts = [
        ("Created", moment(conversation.created_at)),
        ("Provider", conversation.provider),
        ("Model", conversation.model),
        ("Tags", ", ".join(sorted(tag.name for tag in conversation.tag_rows.all()))),
        ("Parameters", dumps(conversation.parameters)),
        ("Metadata", dumps(conversation.metadata)),
        ("Archived", "yes" if conversation.archived else ""),
        ("Pinned", "yes" if conversation.pinned else ""),
        ("Id", str(conversation.pk)),
    ]
    lines = "".join(f"- {label}: {value}\n" for label, value in facts if value)
    system = f"## System prompt\n\n{conversation.system_prompt}\n\n" if conversation.system_prompt else ""
    return f"# {' '.join(conversation.title.split()) or 'Conversation'}\n\n{lines}\n{system}"


def of_message(message: Message, parts: list[Any] | None) -> str:
    sections = [
        f"## {NAMES[Role(message.role)]}, {moment(message.created_at)}",
        facts(message),
        quoted(message.reasoning),
        message.content,
        *(image(part["image_url"]["url"]) for part in filter(is_image, parts or [])),
        *(call(tool_call) for tool_call in message.tool_calls or []),
    ]
    return "".join(f"{section}\n\n" for section in sections if section)


def facts(message: Message) -> str:
    """What is to be known of an answer or a tool's result, in a line."""
    told = [
        f"answers the call {message.tool_call_id}" if message.tool_call_id else "",
        "/".join(filter(None, (message.provider, message.model))),
        message.status if message.status != Status.COMPLETED else "",
        message.error_code,
        "superseded" if message.superseded_by else "",
        f"{message.total_tokens} tokens" if message.total_tokens is not None else "",
        f"{message.latency_ms} ms" if message.latency_ms is not None else "",
    ]
    line = ", ".join(filter(None, told))
    return f"*{line}*" if line else ""


def quoted(reasoning: str) -> str:
    return "\n".join(f"> {line}" for line in reasoning.splitlines())


def image(url: str) -> str:
    return f"![image](<{url.replace('<', '%3C').replace('>', '%3E')}>)"


def call(tool_call: dict[str, Any]) -> str:
    """Indented, which no backtick in the arguments can end."""
    function = tool_call["function"]
    lines = f"{function['name']}({function['arguments']})".splitlines()
    return f"Call {tool_call['id']}:\n\n" + "\n".join(f"    {line}" for line in lines)


def dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
