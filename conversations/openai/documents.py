"""What OpenAI's clients get: a completion as one document, its usage, the list of models."""

import time
from typing import Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field

from conversations.openai.models import Target
from conversations.turn import Turn

VERSION = "2020-10-01"
"""OpenAI's own, in the header `openai-version`; there has never been another."""


class AsItIs(Schema):
    model_config = ConfigDict(extra="allow")


class CompletionMessage(AsItIs):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = Field(description="The answer's text, when it is that the model will not answer.")
    reasoning_content: str | None = Field(None, description="With `include_reasoning`, when the provider sends it.")
    tool_calls: list[dict[str, Any]] | None = None


class CompletionChoice(AsItIs):
    index: Literal[0]
    message: CompletionMessage
    logprobs: None
    finish_reason: str


class CompletionUsage(AsItIs):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]
    estimated: bool | None = Field(None, description="When the provider has not counted, so that this is a guess.")


class ChatCompletion(AsItIs):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str = Field(description="As the provider calls it.")
    choices: list[CompletionChoice]
    usage: CompletionUsage | None


class ListedModel(AsItIs):
    id: str
    object: Literal["model"]
    created: int = Field(description="0: not known.")
    owned_by: str = Field(description="The provider's name.")


class ListedModels(AsItIs):
    object: Literal["list"]
    data: list[ListedModel]


def model(target: Target, name: str = "") -> dict[str, Any]:
    return {"id": name or target.id, "object": "model", "created": 0, "owned_by": target.provider.name}


def completion(turn: Turn) -> dict[str, Any]:
    """The chat.completion of a turn that is complete."""
    said = turn.message.content
    content, refusal = (None, said) if turn.answer.refused else (said, None)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if turn.message.reasoning:
        message["reasoning_content"] = turn.message.reasoning
    if calls := turn.message.tool_calls:
        message |= {"content": content or None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": turn.message.finish_reason}
    return {
        "id": completion_id(turn),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": turn.message.model,
        "choices": [choice],
        "usage": usage(turn),
    }


def completion_id(turn: Turn) -> str:
    return f"chatcmpl-{turn.id.hex}"


def usage(turn: Turn) -> dict[str, Any] | None:
    found = turn.answer.usage_of(turn.request)
    if found is None:
        return None
    return {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "total_tokens": found.total_tokens,
        "prompt_tokens_details": {"cached_tokens": found.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": found.reasoning_tokens},
        **({"estimated": True} if found.estimated else {}),
    }


def headers(turn: Turn) -> dict[str, str]:
    """Those of OpenAI that cost nothing, and where the turn is stored, if it is."""
    found = {"openai-version": VERSION, "openai-processing-ms": str(turn.since_start(time.perf_counter()))}
    if turn.stored:
        found |= {"X-Conversation-ID": str(turn.conversation.pk), "X-Message-ID": str(turn.id)}
    return found
