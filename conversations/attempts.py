"""The attempts of a turn: one after the other, until one has begun to answer or there is nobody left to ask."""

import asyncio
import logging
import time
from contextlib import aclosing
from typing import Protocol

from django.utils import timezone

from chatproject.observability import context, metrics
from chatproject.observability.gen_ai import GenAISpan
from conversations import history, report
from conversations.answer import Answer
from conversations.live import registry
from conversations.models import MessageAttempt, Outcome, Status
from conversations.turn import Turn
from providers import breaker, errors, routing
from providers.chain import Candidate, Chain, Step

WHOLE = {"stop", "length", "tool_calls"}
"""Finish reasons of an answer that is all there."""

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Who gets an answer while it comes."""

    def text(self, piece: str) -> None: ...
    def reasoning(self, piece: str) -> None: ...


async def answer(turn: Turn, reader: Reader | None) -> None:
    """Lets one candidate after the other answer. Raises the ProviderError of the last attempt that was made."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + turn.provider.timeouts.turn
    chain = Chain(turn.provider, turn.request.model)
    failed: tuple[Candidate, errors.ProviderError] | None = None
    while True:
        asked = chain.current
        try:
            return await attempt(turn, reader, deadline)
        except errors.ProviderError as error:
            # That a circuit was open says less than what a provider has answered.
            if failed is None or not isinstance(error, errors.CircuitOpen):
                failed = asked, error
            begun = turn.answer.first_token is not None
            step = None if begun else chain.after(error, deadline - loop.time())
            if step is None:
                at(turn, failed[0])
                raise failed[1] from None
            note(turn, error, step, chain.current)
        await asyncio.sleep(step.wait)
        at(turn, chain.current)


def at(turn: Turn, candidate: Candidate) -> None:
    """Turns to the candidate, whose model may hold less than that of the one before, and take no images."""
    provider, model = candidate
    if (provider, model) == (turn.provider, turn.request.model):
        return
    messages = turn.request.messages
    if provider is not turn.provider:
        messages = messages if provider.images else history.without_images(messages)
        messages = history.refit(messages, provider.history_tokens)
    turn.ask(provider, model, messages)
    report.asking(turn)


def note(turn: Turn, error: errors.ProviderError, step: Step, then: Candidate) -> None:
    """Tells Sentry and the log of a failure that the caller need not hear of."""
    kind = "fallback" if step.fallback else "retry"
    provider = turn.provider.name
    context.breadcrumb(
        f"attempt failed, {kind} follows",
        provider=provider,
        model=turn.request.model,
        code=error.code,
        wait_s=round(step.wait, 3),
        then=then.provider.name,
    )
    metrics.retry(kind=kind, provider=provider, code=error.code, trace_id=turn.message.trace_id)
    logger.info("turn %s: %s %s, %s in %.1f s", turn.id, provider, error.code, kind, step.wait)


async def attempt(turn: Turn, reader: Reader | None, deadline: float) -> None:
    """Asks the turn's provider once. Raises its ProviderError. `deadline` is the turn's, on the loop's clock."""
    provider, model = turn.provider, turn.request.model
    record, started = begin(turn), time.perf_counter()
    try:
        await breaker.admit(provider.name, provider.label, model)
    except errors.CircuitOpen as error:
        close(record, turn, started, Outcome.SKIPPED, error.code)
        raise
    turn.span = GenAISpan(
        provider=provider.name, model=model, conversation_id=str(turn.conversation.pk), streaming=turn.streaming
    )
    outcome, code, told_of_health = Outcome.FAILED, "internal_error", False
    try:
        await relay(turn, reader, deadline)
        outcome, code, told_of_health = Outcome.COMPLETED, "", True
    except errors.ProviderError as error:
        # What the request itself or our account brings about says nothing of the provider's health.
        code, told_of_health = error.code, error.retryable
        record.provider_status = error.provider_status
        raise
    except asyncio.CancelledError:
        outcome, code = Outcome(ended_as(turn)), ""
        raise
    finally:
        close(record, turn, started, outcome, code)
        report.close_span(turn, started, outcome)
        if not told_of_health:
            await breaker.released(provider.name, model)
        elif code:
            await breaker.failed(provider.name, model, code)
        else:
            await breaker.succeeded(provider.name, model)


def begin(turn: Turn) -> MessageAttempt:
    record = MessageAttempt(
        message_id=turn.id,
        number=len(turn.attempts) + 1,
        provider=turn.provider.name,
        model=turn.request.model,
        started_at=timezone.now(),
    )
    turn.attempts.append(record)
    turn.answer, turn.span = Answer(), None
    return record


def close(record: MessageAttempt, turn: Turn, started: float, outcome: Outcome, code: str) -> None:
    first_token = turn.answer.first_token
    record.outcome, record.error_code = outcome, code
    record.ttft_ms = milliseconds(started, first_token) if first_token is not None else None
    record.latency_ms = milliseconds(started, time.perf_counter())


async def relay(turn: Turn, reader: Reader | None, deadline: float) -> None:
    """Hands the provider's deltas on. Raises a ProviderError, `timeout` when it is too slow."""
    loop, answer, timeouts = asyncio.get_running_loop(), turn.answer, turn.provider.timeouts
    stream = routing.chat_provider(turn.provider.name).stream(turn.request)
    try:
        # aclosing: the provider's connection is closed here and now, not when the garbage collector comes by.
        async with (
            asyncio.timeout_at(min(loop.time() + timeouts.first_token, deadline)) as limit,
            aclosing(stream) as deltas,  # type: ignore[type-var]
        ):
            async for delta in deltas:
                answer.add(delta)
                if not delta.is_token:
                    continue
                limit.reschedule(min(loop.time() + timeouts.silence, deadline))
                if reader is not None:
                    if delta.text:
                        reader.text(delta.text)
                    if delta.reasoning and turn.wants_reasoning:
                        reader.reasoning(delta.reasoning)
    except TimeoutError:
        if not limit.expired():  # somebody else's
            raise
        if answer.finish_reason in WHOLE:  # all that is missing is the end of the stream
            return
        raise errors.Timeout(provider=turn.provider.label, cause=which(turn, deadline - loop.time())) from None


def which(turn: Turn, remaining: float) -> str:
    """Which of the time-outs has run out, for whoever reads the event."""
    if remaining <= 0:
        return "turn"
    return "first token" if turn.answer.first_token is None else "silence"


def ended_as(turn: Turn | None = None) -> Status:
    """What a cancellation means: the client has left or asked for it, unless the worker is on its way out."""
    if turn is not None and (turn.stopped or turn.interrupted):
        return Status.CANCELLED if turn.stopped else Status.INTERRUPTED
    return Status.INTERRUPTED if registry.closing else Status.CANCELLED


def milliseconds(start: float, end: float) -> int:
    """Between two time.perf_counter()."""
    return round((end - start) * 1000)
