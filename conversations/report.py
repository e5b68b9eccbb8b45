"""How a turn's course and end are told: on its message, to Sentry, and to its caller as a problem."""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

from django.conf import settings

from chatproject.observability import context, logs, metrics, privacy
from chatproject.problems import Problem
from conversations.links import admin_url
from conversations.models import MessageAttempt, Outcome, Status
from conversations.turn import Turn
from providers import errors
from providers.pricing import cost_usd
from providers.registry import Timeouts

logger = logging.getLogger(__name__)

MODELS = 50
"""Models besides the configured ones that a worker tells apart in metrics."""

_models: set[str] = set()


def describe(turn: Turn) -> None:
    """Tells Sentry whose turn this is, before anything can fail."""
    privacy.note(lambda: texts(turn))
    if conversation_id := turn.conversation_id:
        logs.note(conversation_id=conversation_id)
        context.tag(conversation_id=conversation_id)
    context.tag(provider=turn.provider.name, model=privacy.name(turn.request.model))
    context.contexts(lambda: details(turn))


def asking(turn: Turn) -> None:
    """Tells Sentry that the turn has gone on to another provider or model."""
    context.tag(provider=turn.provider.name, model=privacy.name(turn.request.model))


def details(turn: Turn) -> dict[str, dict[str, Any]]:
    """The contexts of every event of the turn."""
    provider, request = turn.provider, turn.request
    return {
        **conversation_of(turn),
        "chat_request": {
            "message_id": str(turn.id),
            "stream": turn.streaming,
            "prompt_messages": len(request.messages),
            "prompt_chars": sum(len(text) for m in request.messages for text in privacy.strings_in(m["content"])),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        },
        "provider": {
            "name": provider.name,
            "base_url": provider.base_url,
            "model": privacy.name(request.model),
            "fallback_model": provider.fallback_model,
            "has_key": bool(provider.api_key),
            "timeouts_s": seconds(provider.timeouts),
        },
        "attempts": {
            str(attempt.number): summary(attempt) | {"model": privacy.name(attempt.model)}
            for attempt in turn.attempts
            if attempt.outcome
        },
    }


@cache
def seconds(timeouts: Timeouts) -> dict[str, float]:
    return asdict(timeouts)


def conversation_of(turn: Turn) -> dict[str, dict[str, Any]]:
    """The context that leads to the conversation; none of a turn that is not stored."""
    if not turn.stored:
        return {}
    whose = {"id": turn.conversation_id, "message_id": str(turn.id)}
    link = admin_url(turn.conversation.pk)
    return {"conversation": whose | {"admin_url": link} if link else whose}


def summary(attempt: MessageAttempt) -> dict[str, Any]:
    """An attempt that has ended, as a problem document and an event show it."""
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": str(attempt.outcome),
        "code": attempt.error_code or None,
        "latency_ms": attempt.latency_ms,
    }


def texts(turn: Turn) -> Iterator[str]:
    """What no error's text may repeat: the whole prompt, the answer so far, and what the conversation is called."""
    _, request = turn.asked
    for message in request.messages:  # but for their roles and keys: those are words of every error
        yield from privacy.strings_in([message["content"], message.get("tool_calls")])
    yield from privacy.strings_in(dict(request.extra))
    yield turn.text
    yield turn.answer.reasoning
    yield from privacy.strings_in(turn.answer.tool_calls)
    yield turn.conversation.title
    yield turn.conversation.system_prompt
    yield from privacy.strings_in(turn.conversation.metadata)


def provider_failed(turn: Turn, error: errors.ProviderError) -> Problem:
    """Captures a provider's failure, once, and says it in the caller's terms."""
    failed(
        turn,
        error,
        error.code,
        level=error.level,
        fingerprint=["provider-error", turn.provider.name, error.code],
        details=lambda: {"provider_error": facts(error)},
        safe_text=True,
    )
    logger.warning("turn %s failed: %s %s", turn.id, turn.provider.name, error.code)
    retry_after = {"Retry-After": str(max(1, round(error.retry_after)))} if error.retry_after is not None else {}
    return Problem(
        error.code,
        str(error),
        status=error.status,
        title=error.title,
        headers=retry_after,
        provider_message=error.quotable(turn.provider.api_key),
        attempts=[summary(attempt) for attempt in turn.attempts] if len(turn.attempts) > 1 else None,
        **where(turn),
    )


def facts(error: errors.ProviderError) -> dict[str, Any]:
    """What Sentry may know of it."""
    request_id = privacy.name(error.provider_request_id or "")
    return error.facts() | {"provider_request_id": request_id or None, "reason": privacy.told(error.reason) or None}


def broke(turn: Turn, error: Exception) -> Problem:
    """Captures a bug of ours that showed in the middle of a turn."""
    failed(turn, error, "internal_error", handled=False)
    logger.error("turn %s failed", turn.id, exc_info=error)
    return Problem("internal_error", "It has been logged. Quote the request_id when you report it.", **where(turn))


def not_stored(turn: Turn, error: Exception) -> Problem:
    """Captures that the database was away when the answer had come."""
    failed(turn, error, "database_unavailable")
    logger.error("turn %s could not be stored: %s", turn.id, type(error).__name__)
    detail = "The answer is not stored yet; it will be once the database is back."
    return Problem("database_unavailable", detail, **where(turn))


def not_counted(turn: Turn, error: Exception, *, handled: bool = True) -> None:
    """Captures that the end of a turn without rows is in no statistics and no ledger yet. The turn is what it was."""
    context.capture(error, span=turn.span.span if turn.span is not None else None, handled=handled)
    logger.error("turn %s could not be counted: %s", turn.id, type(error).__name__)


def failed(turn: Turn, error: Exception, code: str, **how: Any) -> None:
    """Notes the failure: on the transaction, with an event, and on the message."""
    context.tag(outcome=Status.FAILED)  # first, so that the event bears it too
    context.fail_transaction()
    turn.message.status = Status.FAILED
    turn.message.error_code = code
    span = turn.span.span if turn.span is not None else None
    turn.message.sentry_event_id = context.capture(error, span=span, **how) or ""


def interrupted(turn: Turn) -> Problem:
    context.end_transaction("unavailable")
    return Problem("interrupted", f"The server is restarting; {kept(turn)}.", **where(turn))


def cancelled(turn: Turn) -> Problem:
    context.end_transaction("ok")
    return Problem("cancelled", f"The turn was cancelled; {kept(turn)}.", **where(turn))


def kept(turn: Turn) -> str:
    return "what there is of the answer is stored" if turn.stored else "nothing of the answer is stored"


def where(turn: Turn) -> dict[str, Any]:
    """What a problem document says of its turn."""
    return {
        "conversation_id": turn.conversation_id,
        "message_id": str(turn.id) if turn.stored else None,
        "provider": turn.provider.name,
        "model": turn.request.model,
        "trace_id": turn.message.trace_id,
        "sentry_event_id": turn.message.sentry_event_id or None,
    }


def settle(turn: Turn) -> None:
    """Fills in the message: text, usage, cost, timings."""
    message, answer, now = turn.message, turn.answer, time.perf_counter()
    message.content = answer.text
    message.reasoning = answer.reasoning if turn.wants_reasoning else ""
    message.tool_calls = answer.tool_calls or None
    message.finish_reason = answer.finish_reason[:32]
    message.provider = turn.provider.name
    message.model = (answer.model or turn.request.model)[:200]
    message.latency_ms = turn.since_start(now)
    message.ttft_ms = turn.since_start(answer.first_token) if answer.first_token is not None else None
    context.tag(outcome=message.status)
    if message.status == Status.INTERRUPTED:
        message.error_code = "interrupted"
    if usage := answer.usage_of(turn.request):
        message.prompt_tokens = usage.prompt_tokens
        message.completion_tokens = usage.completion_tokens
        message.total_tokens = usage.total_tokens
        message.usage_estimated = usage.estimated
        began = message.created_at  # as the ledger has reserved
        cost = cost_usd(turn.provider, message.model, usage, began)
        if cost is None:  # a dated name, that the list does not know
            cost = cost_usd(turn.provider, turn.request.model, usage, began)
        message.cost_usd = None if cost is None else round(cost, 8)  # as the column has it


def close_span(turn: Turn, started: float, outcome: Outcome) -> None:
    """Ends the span of the attempt that began at `started`, a time.perf_counter() in seconds."""
    span, answer = turn.span, turn.answer
    if span is None or span.span is None:
        return
    finish_reason = privacy.name(answer.finish_reason[:32])
    usage = answer.usage_of(turn.request)
    span.set(
        {
            "gen_ai.response.model": privacy.name((answer.model or turn.request.model)[:200]),
            "gen_ai.response.time_to_first_token": answer.first_token - started if answer.first_token else None,
            "gen_ai.response.finish_reasons": [finish_reason] if finish_reason else None,
            "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
            "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
            "gen_ai.usage.total_tokens": usage.total_tokens if usage else None,
            "gen_ai.usage.input_tokens.cached": usage.cached_tokens or None if usage else None,
            "chat.usage_estimated": True if usage and usage.estimated else None,
            "chat.attempt": len(turn.attempts),
        }
    )
    if settings.SENTRY_INCLUDE_PROMPTS:
        span.messages(turn.request.messages, answer.text, answer.tool_calls, finish_reason)
    span.finish(outcome=outcome, failed=outcome == Outcome.FAILED)


def measure(turn: Turn) -> None:
    """Counts the turn, once, when it is stored."""
    message, provider = turn.message, turn.provider
    metrics.turn(
        outcome=message.status,
        provider=provider.name,
        model=model_of_series(turn),
        trace_id=message.trace_id,
        time_to_first_token_ms=message.ttft_ms,
        duration_ms=message.latency_ms,
        input_tokens=message.prompt_tokens,
        output_tokens=message.completion_tokens,
        cost_usd=message.cost_usd,
    )


def model_of_series(turn: Turn) -> str:
    """The model asked for, or `other`: a caller may ask for any name, and each would make a time series of its own."""
    provider, asked = turn.provider, turn.request.model
    if asked in (provider.model, provider.fallback_model):
        return asked
    # Some servers answer to every name, so that an answer alone proves nothing.
    if turn.answer.first_token is not None and len(_models) < MODELS:
        _models.add(asked)
    return asked if asked in _models else "other"
