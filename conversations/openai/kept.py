"""What `store` asks for: the caller's messages and the answer as a new conversation."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.utils import timezone

from chatproject import writing
from conversations import leases, rows, store
from conversations.content import split
from conversations.models import Conversation, Message, Role
from conversations.openai.messages import invalid, without_blanks
from conversations.stateless import Begun, Prompt
from providers import breaker
from providers.base import ChatMessage


def start_turn(prompt: Prompt) -> Begun:
    """Stores the messages, in their order, and the answer, still empty. What the system says before anybody else is the
    conversation's system prompt.

    Raises `invalid_request` when that is too long, and what spending.reserve raises; then nothing is stored.
    """
    breaker.refresh()  # here it costs no thread of its own
    system, rest = opening(prompt.messages)
    if len(system) > settings.CHAT_MAX_MESSAGE_CHARS:
        limit = f"{settings.CHAT_MAX_MESSAGE_CHARS:,} characters"
        raise invalid(f"the system's messages at the beginning must have at most {limit} together, to be stored")
    with writing.atomic():
        conversation = Conversation(
            owner=prompt.owner,
            provider=prompt.provider.name,
            model=prompt.model,
            title=title_of(rest),
            system_prompt=system,
            metadata=prompt.metadata,
            message_count=len(rest) + 1,
        )
        rows.insert([conversation])
        reserved = prompt.reserve()
        answer = prompt.answer(conversation)
        answer.lease_until = timezone.now() + leases.LEASE
        common = {"conversation": conversation, "request_id": prompt.request_id, "trace_id": prompt.trace_id}
        rows.insert([*messages_of(rest, prompt, common), answer])
    return Begun(answer, reserved)


def opening(messages: list[ChatMessage]) -> tuple[str, list[ChatMessage]]:
    """The text of the system's messages at the beginning, and the others."""
    count = next((n for n, message in enumerate(messages) if message["role"] != Role.SYSTEM), len(messages))
    return "\n\n".join(str(message["content"]) for message in messages[:count]), messages[count:]


def title_of(messages: list[ChatMessage]) -> str:
    texts = (split(message["content"])[0] for message in messages if message["role"] == Role.USER)
    return store.title_from(next(texts, ""))


def messages_of(messages: list[ChatMessage], prompt: Prompt, common: dict[str, Any]) -> Iterator[Message]:
    for id_, message in zip(prompt.row_ids, messages, strict=False):
        text, parts = split(without_blanks(message["content"]))
        calls = message.get("tool_calls")
        yield Message(
            id=id_,
            role=message["role"],
            content=text,
            parts=parts,
            tool_calls=calls,
            provider=prompt.provider.name if calls else "",  # who gets what stands beside them, see history.Rows
            tool_call_id=message.get("tool_call_id", ""),
            **common,
        )
