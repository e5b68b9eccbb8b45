"""How a request for a completion becomes a turn: stored nowhere, as a new conversation, or in one that exists."""

from typing import Any
from uuid import UUID

from chatproject.http import ApiRequest
from conversations import turns
from conversations.content import images_in
from conversations.openai import kept
from conversations.openai.messages import invalid, new_ones, prompt_of
from conversations.openai.models import Target, target_of
from conversations.openai.schemas import ChatCompletionIn
from conversations.stateless import Prompt
from conversations.turn import Ask, Turn
from providers.base import ChatMessage


async def begin(request: ApiRequest, body: ChatCompletionIn, conversation_id: UUID | None) -> Turn:
    """Raises what turns.begin and turns.begin_verbatim raise."""
    messages, target = prompt_of(body.messages), target_of(body.model)
    if conversation_id is not None:
        return await go_on(request, body, conversation_id, messages, target)
    check_images(messages, target)
    ask = ask_of(body, target)
    prompt = Prompt(
        owner=request.user,
        key=request.auth,
        provider=target.provider,
        model=target.model,
        messages=messages,
        extra=ask.extra,
        max_tokens=ask.max_tokens,
        request_id=request.request_id,
        trace_id=request.trace_id,
        metadata=body.metadata or {},
    )
    return await turns.begin_verbatim(prompt, ask, kept.start_turn if body.store else None)


async def go_on(
    request: ApiRequest, body: ChatCompletionIn, conversation_id: UUID, messages: list[ChatMessage], target: Target
) -> Turn:
    """The next turn of a stored conversation: what is new goes into it, and the provider gets its history."""
    results, text, parts = new_ones(messages)
    return await turns.begin(
        owner=request.user,
        key=request.auth,
        conversation_id=conversation_id,
        ask=ask_of(body, target, content=text, parts=parts, tool_results=results),
        request_id=request.request_id,
        trace_id=request.trace_id,
        content_field="messages",
    )


def ask_of(body: ChatCompletionIn, target: Target, content: str = "", **more: Any) -> Ask:
    return Ask(
        content=content,
        stream=bool(body.stream),
        reasoning=bool(body.include_reasoning),
        extra=body.extra(),
        provider=target.provider.name,
        model=target.model,
        temperature=body.temperature,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        **more,
    )


def check_images(messages: list[ChatMessage], target: Target) -> None:
    """Raises `invalid_request` when there are images and the provider takes none."""
    if not target.provider.images and any(images_in(message["content"]) for message in messages):
        name = target.provider.name
        raise invalid(f"the provider {name} takes no images; leave them out or name another provider")
