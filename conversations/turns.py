"""A turn: the one path that a message takes, blocking or streamed.

`begin` stores the question and reads the prompt, `run` relays the provider's answer and stores it. Between them the
caller decides how to answer: wait for `run`, or hand its text on as it comes.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from uuid_utils.compat import uuid7

from chatproject import db
from chatproject.apikeys.models import ApiKey
from chatproject.db import AWAY
from chatproject.problems import Problem
from conversations import attempts, encoding, idempotent, report, stateless, store
from conversations.attempt import Reader, ended_as
from conversations.detached import outlive
from conversations.keeping import Batch, Keeper
from conversations.live import registry
from conversations.models import Conversation, Status
from conversations.stateless import Begun, Prompt
from conversations.turn import Ask, Turn
from providers import errors, routing
from providers.base import ChatRequest
from providers.registry import Provider

FINAL_FIELDS = (
    "content",
    "reasoning",
    "tool_calls",
    "status",
    "finish_reason",
    "error_code",
    "provider",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "usage_estimated",
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
    content_field: str = "content",
    key: ApiKey | None = None,
) -> Turn:
    """Stores the user's message, and a new conversation with the fields `new` when `conversation_id` is None.

    `content_field` is what the caller calls the content; `key` is whose limits hold. Raises Problem
    `unknown_provider` and those of store.start_turn and registry.admit; then nothing is stored.
    """
    registry.admit()
    started = time.perf_counter()
    results = tuple((uuid7(), result) for result in ask.tool_results)  # first: the ids are the order
    start = store.Start(
        owner=owner,
        conversation_id=conversation_id,
        new=new or {},
        user_message_id=uuid7(),
        message_id=uuid7(),
        content=ask.content,
        parts=ask.parts,
        content_field=content_field,
        tool_results=results,
        extra=ask.extra,
        route=partial(route, ask),
        system_prompt=settings.CHAT_SYSTEM_PROMPT,
        request_id=request_id,
        trace_id=trace_id,
        key=key,
        temperature=ask.temperature,
        max_tokens=ask.max_tokens,
        regenerates=ask.regenerates,
        edits=ask.edits,
        detached=ask.detached,
    )
    try:
        begun = await db.run_together(idempotent.tied(store.start_turn, start.message_id), start)
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
            temperature=begun.temperature,
            max_tokens=begun.reserved.max_tokens,
            extra=ask.extra,
        ),
        metered=begun.reserved.metered,
        streaming=ask.stream,
        started=started,
        wants_reasoning=ask.reasoning,
        detached=ask.detached or idempotent.claimed() is not None,
        keeper=Keeper(start.message_id) if ask.detached else None,
    )


async def begin_verbatim(prompt: Prompt, ask: Ask, keep: Callable[[Prompt], Begun] | None = None) -> Turn:
    """A turn of the caller's own messages, which the database unit `keep` stores; without one it leaves no rows.

    Raises what spending.reserve and registry.admit raise; then nothing is stored.
    """
    registry.admit()
    started = time.perf_counter()
    try:
        begun = await db.run_together(idempotent.tied(keep or stateless.start_turn, prompt.message_id), prompt)
    except asyncio.CancelledError:
        if keep is None:
            await db.run(stateless.abandon_turn, prompt.message_id)
        else:
            await db.run(store.abandon_turn, prompt.message_id, ended_as())
        raise
    return Turn(
        message=begun.message,
        conversation=begun.message.conversation,
        provider=prompt.provider,
        request=ChatRequest(
            model=prompt.model,
            messages=prompt.messages,
            temperature=ask.temperature,
            max_tokens=begun.reserved.max_tokens,
            extra=prompt.extra,
        ),
        streaming=ask.stream,
        started=started,
        wants_reasoning=ask.reasoning,
        metered=begun.reserved.metered,
        detached=idempotent.claimed() is not None,
        stored=keep is not None,
        verbatim=True,
    )


def route(ask: Ask, conversation: Conversation | None) -> tuple[Provider, str]:
    """The provider and the model: as asked, else the conversation's, else the defaults."""
    stored = conversation.provider if conversation else settings.CHAT_DEFAULT_PROVIDER
    provider = routing.provider_named(ask.provider or stored)
    kept = conversation.model if conversation and provider.name == stored else ""
    return provider, ask.model or kept or provider.model


async def run(turn: Turn, reader: Reader | None = None) -> Problem | None:
    """Lets the providers answer, `reader` have it while it comes, and stores it. Returns the problem when that failed.

    Whatever happens, the text so far is stored and the message gets its final status. A turn that its caller
    cancels ends as `cancelled` and the cancellation goes on; one that a shutdown or Turn.cancel ends returns a problem.
    A detached one goes on without its caller.
    """
    return await (outlive(_run(turn, reader)) if turn.detached else _run(turn, reader))


async def _run(turn: Turn, reader: Reader | None) -> Problem | None:
    turn.task = task = asyncio.current_task()
    with registry.holding(turn):
        report.describe(turn)
        problem: Problem | None = None
        cancelled: asyncio.CancelledError | None = None
        try:
            await attempts.answer(turn, reader)
            turn.message.status = Status.COMPLETED
        except asyncio.CancelledError as error:
            cancelled = error
            turn.message.status = ended_as(turn)
        except errors.ProviderError as error:
            problem = report.provider_failed(turn, error)
        except Exception as error:  # a bug of ours: the user's answer must still get its end
            problem = report.broke(turn, error)
        turn.task = None  # its fate is decided; a shutdown that comes now waits for it to be stored
        report.settle(turn)
        if cancelled is not None:
            problem = report.interrupted(turn) if turn.message.status == Status.INTERRUPTED else report.cancelled(turn)
        problem = await save(turn, problem) or problem
    if cancelled is None:
        return problem
    if not (turn.interrupted or turn.stopped):
        raise cancelled
    if task is not None:
        task.uncancel()  # it was ours
    return problem


async def save(turn: Turn, problem: Problem | None = None) -> Problem | None:
    """Stores the finished message, which ended with `problem`, and what is left of its events.

    What goes wrong here is captured, and is then the problem of a turn that has rows. When the database is away the
    text is stored as soon as it is back; the caller is not kept waiting for that.
    """
    try:
        if turn.stored:
            end: dict[str, Any] = {"metered": turn.metered, "events": last_events(turn, problem)}
            await db.run_together(store.finish_turn, turn.message, FINAL_FIELDS, turn.attempts, **end)
        else:
            await db.run_together(stateless.finish_turn, turn.message, metered=turn.metered)
    except asyncio.CancelledError as left:
        if isinstance(left.__cause__, AWAY):
            owe(turn, left.__cause__)
        raise
    except AWAY as error:
        return owe(turn, error)
    except Exception as error:
        if turn.stored:
            return report.broke(turn, error)
        report.not_counted(turn, error, handled=False)
    finally:
        report.measure(turn)
    return None


def owe(turn: Turn, error: Exception) -> Problem | None:
    """Captures that the database is away, and stores the answer when it is back.

    One that has no rows is whole without the database, and goes out: a client that got an error would pay for another.
    """
    if not turn.stored:
        report.not_counted(turn, error)
        # It is counted twice when only the database's answer was lost.
        registry.owe(partial(db.run, stateless.finish_turn, turn.message, metered=turn.metered))
        return None
    problem = report.not_stored(turn, error)
    end: dict[str, Any] = {"metered": turn.metered, "events": last_events(turn, problem)}
    registry.owe(partial(db.run, store.finish_turn_late, turn.message, FINAL_FIELDS, turn.attempts, **end))
    return problem


def last_events(turn: Turn, problem: Problem | None) -> list[Batch]:
    """Those that are not stored yet, of a turn whose events are kept, with the last of all."""
    if turn.keeper is None:
        return []
    return turn.keeper.close(encoding.last(turn.keeper.number + 1, turn.message, problem))
