"""A turn: the one path that a message takes, blocking or streamed.

`begin` stores the question and reads the prompt, `run` relays the provider's answer and stores it. Between them the
caller decides how to answer: wait for `run`, or hand its text on as it comes.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from uuid_utils.compat import uuid7

from chatproject import db
from chatproject.observability.gen_ai import GenAISpan
from chatproject.problems import Problem
from conversations import report, store
from conversations.live import registry
from conversations.models import Conversation, Status
from conversations.turn import Ask, Turn
from providers import errors, routing
from providers.base import ChatRequest
from providers.registry import Provider

FINAL_FIELDS = (
    "content",
    "status",
    "finish_reason",
    "error_code",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "ttft_ms",
    "latency_ms",
    "sentry_event_id",
)


async def begin(
    *,
    owner: User,
    conversation_id: UUID | None,
    ask: Ask,
    request_id: str,
    trace_id: str,
    new: dict[str, Any] | None = None,
) -> Turn:
    """Stores the user's message, and a new conversation with the fields `new` when `conversation_id` is None.

    Raises Problem `unknown_provider`, `conversation_not_found` or `turn_in_progress`; then nothing is stored.
    """
    started = time.perf_counter()
    start = store.Start(
        owner=owner,
        conversation_id=conversation_id,
        new=new or {},
        user_message_id=uuid7(),
        message_id=uuid7(),
        content=ask.content,
        route=partial(route, ask),
        system_prompt=settings.CHAT_SYSTEM_PROMPT,
        request_id=request_id,
        trace_id=trace_id,
    )
    try:
        begun = await db.run(store.start_turn, start)
    except asyncio.CancelledError:
        await db.run(store.abandon_turn, start.message_id, ended_as())
        raise
    return Turn(
        message=begun.message,
        conversation=begun.conversation,
        provider=begun.provider,
        request=ChatRequest(
            model=begun.message.model,
            messages=begun.prompt,
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        ),
        streaming=ask.stream,
        started=started,
    )


def route(ask: Ask, conversation: Conversation | None) -> tuple[Provider, str]:
    """The provider and the model: as asked, else the conversation's, else the defaults."""
    stored = conversation.provider if conversation else settings.CHAT_DEFAULT_PROVIDER
    provider = routing.provider_named(ask.provider or stored)
    kept = conversation.model if conversation and provider.name == stored else ""
    return provider, ask.model or kept or provider.model


async def run(turn: Turn, on_text: Callable[[str], None] | None = None) -> Problem | None:
    """Relays the answer, each piece of text to `on_text`, and stores it. Returns the problem when the turn failed.

    Whatever happens, the text so far is stored and the message gets its final status. A turn that its caller
    cancels ends as `cancelled` and the cancellation goes on; one that a shutdown ends returns a problem.
    """
    turn.task = task = asyncio.current_task()
    report.describe(turn)
    with registry.holding(turn):
        span = GenAISpan(
            provider=turn.provider.name,
            model=turn.request.model,
            conversation_id=str(turn.conversation.pk),
            streaming=turn.streaming,
        )
        problem: Problem | None = None
        cancelled: asyncio.CancelledError | None = None
        try:
            await relay(turn, on_text)
            turn.message.status = Status.COMPLETED
        except asyncio.CancelledError as error:
            cancelled = error
            turn.message.status = Status.INTERRUPTED if turn.interrupted else ended_as()
        except errors.ProviderError as error:
            problem = report.provider_failed(turn, error)
        except Exception as error:  # a bug of ours: the user's answer must still get its end
            problem = report.broke(turn, error)
        turn.task = None  # its fate is decided; a shutdown that comes now waits for it to be stored
        report.settle(turn)
        report.close_span(span, turn)
        problem = await save(turn) or problem
    if cancelled is None:
        return problem
    if not turn.interrupted:
        raise cancelled
    if task is not None:
        task.uncancel()  # it was ours
    return report.interrupted(turn)


async def relay(turn: Turn, on_text: Callable[[str], None] | None) -> None:
    # aclosing: the provider's connection is closed here and now, not when the garbage collector comes by.
    async with aclosing(routing.chat_provider(turn.provider.name).stream(turn.request)) as deltas:  # type: ignore[type-var]
        async for delta in deltas:
            turn.add(delta)
            if delta.text and on_text is not None:
                on_text(delta.text)


def ended_as() -> Status:
    """What a cancellation means: the client has left, unless the worker is on its way out."""
    return Status.INTERRUPTED if registry.closing else Status.CANCELLED


async def save(turn: Turn) -> Problem | None:
    """Stores the finished message. What goes wrong here is captured, and is then the turn's problem.

    When the database is away the text is stored as soon as it is back; the caller is not kept waiting for that.
    """
    store_it = partial(db.run, store.finish_turn, turn.message, FINAL_FIELDS)
    try:
        await store_it()
    except (OperationalError, InterfaceError) as error:
        problem = report.not_stored(turn, error)
        registry.owe(store_it)
        return problem
    except Exception as error:
        return report.broke(turn, error)
    finally:
        report.measure(turn)
    return None
