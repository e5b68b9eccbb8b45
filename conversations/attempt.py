"""One attempt of a turn: a request to a provider, its record, its span, and what it tells of the provider's health."""

import asyncio
import time
from contextlib import aclosing
from typing import Protocol

from django.utils import timezone

from chatproject.observability import privacy
from chatproject.observability.gen_ai import GenAISpan
from conversations import report
from conversations.answer import Answer
from conversations.live import registry
from conversations.models import MessageAttempt, Outcome, Status
from conversations.patience import Patience
from conversations.turn import Turn, milliseconds
from providers import breaker, errors, routing
from providers.base import ToolCallDelta

WHOLE = {"stop", "length", "tool_calls"}
"""Finish reasons of an answer that is all there."""


class Reader(Protocol):
    """Who gets an answer while it comes."""

    def text(self, piece: str) -> None: ...
    def reasoning(self, piece: str) -> None: ...
    def tool_calls(self, pieces: tuple[ToolCallDelta, ...]) -> None: ...


class Attempt:
    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.started = time.perf_counter()
        self.record = MessageAttempt(
            message_id=turn.id,
            number=len(turn.attempts) + 1,
            provider=turn.provider.name,
            model=turn.request.model,
            started_at=timezone.now(),
        )
        self._admitted = False
        turn.attempts.append(self.record)
        turn.answer, turn.span = Answer(), None

    async def run(self, reader: Reader | None, deadline: float) -> None:
        """Raises the provider's ProviderError. `deadline` is the turn's, on the loop's clock.

        However it ends, its record and its span are closed, and the circuit breaker knows.
        """
        turn, provider = self.turn, self.turn.provider
        outcome, code, healthy = Outcome.FAILED, "internal_error", None
        try:
            await breaker.admit(provider.name, provider.label, turn.request.model)
            self._admitted = True
            self._open_span()
            await self._relay(reader, deadline)
            outcome, code, healthy = Outcome.COMPLETED, "", True
        except errors.CircuitOpen as error:
            outcome, code = Outcome.SKIPPED, error.code
            raise
        except errors.ProviderError as error:
            # What the request itself or our account brings about says nothing of the provider's health.
            code, healthy = error.code, False if error.retryable else None
            self.record.provider_status = error.provider_status
            raise
        except asyncio.CancelledError:
            outcome, code = Outcome(ended_as(turn)), ""
            raise
        finally:
            self._close(outcome, code)
            if self._admitted:
                self._tell(healthy, code)

    def _open_span(self) -> None:
        turn = self.turn
        turn.span = GenAISpan(
            provider=turn.provider.name,
            model=privacy.name(turn.request.model),
            conversation_id=turn.conversation_id,
            streaming=turn.streaming,
        )

    def _close(self, outcome: Outcome, code: str) -> None:
        first_token, record = self.turn.answer.first_token, self.record
        record.outcome, record.error_code = outcome, code
        record.ttft_ms = milliseconds(self.started, first_token) if first_token is not None else None
        record.latency_ms = milliseconds(self.started, time.perf_counter())
        report.close_span(self.turn, self.started, outcome)

    def _tell(self, healthy: bool | None, code: str) -> None:
        provider, model = self.turn.provider.name, self.turn.request.model
        if healthy is None:
            breaker.released(provider, model)
        elif healthy:
            breaker.succeeded(provider, model)
        else:
            breaker.failed(provider, model, code)

    async def _relay(self, reader: Reader | None, deadline: float) -> None:
        """Hands the provider's deltas on. Raises a ProviderError, `timeout` when it is too slow."""
        turn, answer, provider = self.turn, self.turn.answer, self.turn.provider
        stream = routing.chat_provider(provider.name).stream(turn.request)
        patience = Patience(provider.timeouts, deadline)
        try:
            # aclosing: the provider's connection is closed here and now, not when the garbage collector comes by.
            async with patience, aclosing(stream) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    if delta.is_token:
                        if answer.first_token is None:
                            breaker.begun(provider.name, turn.request.model)
                        patience.token()
                    answer.add(delta)
                    if reader is not None:
                        if delta.text:
                            reader.text(delta.text)
                        if delta.reasoning and turn.wants_reasoning:
                            reader.reasoning(delta.reasoning)
                        if delta.tool_calls:
                            reader.tool_calls(delta.tool_calls)
        except TimeoutError:
            if not patience.over:  # somebody else's
                raise
            if not self._is_whole():
                raise errors.Timeout(provider=provider.label, cause=patience.over) from None

    def _is_whole(self) -> bool:
        """Whether all that is missing is the end of the stream."""
        answer = self.turn.answer
        said = answer.parts or answer.calls or answer.finish_reason == "length"
        return bool(said) and answer.finish_reason in WHOLE


def ended_as(turn: Turn | None = None) -> Status:
    """What a cancellation means: the client has left or asked for it, unless the worker is on its way out."""
    if turn is not None and (turn.stopped or turn.interrupted):
        return Status.CANCELLED if turn.stopped else Status.INTERRUPTED
    return Status.INTERRUPTED if registry.closing else Status.CANCELLED
