"""The attempts of a turn: one after the other, until one has begun to answer or there is nobody left to ask."""

import asyncio
import logging
from typing import NamedTuple

from chatproject.observability import context, metrics, privacy
from chatproject.observability.gen_ai import GenAISpan
from conversations import history, report
from conversations.answer import Answer
from conversations.attempt import Attempt, Reader
from conversations.turn import Turn
from providers import errors
from providers.chain import Candidate, Chain, Step

logger = logging.getLogger(__name__)


class Failure(NamedTuple):
    """An attempt that failed, as it is told of when none helps."""

    candidate: Candidate
    error: errors.ProviderError
    answer: Answer
    span: GenAISpan | None


async def answer(turn: Turn, reader: Reader | None) -> None:
    """Lets one candidate after the other answer. Raises the ProviderError of the one that was asked for, when all fail.

    It is another's when that one has begun to answer, or the circuit of the one asked for was open.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + turn.provider.timeouts.turn
    chain = Chain(turn.provider, turn.request.model)
    told: Failure | None = None
    while True:
        asked = chain.current
        try:
            return await Attempt(turn).run(reader, deadline)
        except errors.ProviderError as error:
            begun = turn.answer.first_token is not None
            if told is None or begun or asked is told.candidate or isinstance(told.error, errors.CircuitOpen):
                told = Failure(asked, error, turn.answer, turn.span)
            # One attempt is reserved in the ledger: another would be paid for beside it when this one has been.
            billed = turn.metered and turn.answer.usage is not None
            step = None if begun or billed else chain.after(error, deadline - loop.time())
            if step is None:
                at(turn, told.candidate)
                turn.answer, turn.span = told.answer, told.span
                raise told.error from None
            note(turn, error, step, chain.current)
        await asyncio.sleep(step.wait)
        at(turn, chain.current)


def at(turn: Turn, candidate: Candidate) -> None:
    """Turns to the candidate, whose model may hold less than that of the one asked for, and take no images."""
    provider, model = candidate
    if (provider, model) == (turn.provider, turn.request.model):
        return
    asked, request = turn.asked
    messages = request.messages
    if provider is not asked:
        messages = history.for_another(messages if provider.images else history.without_images(messages))
        if not turn.verbatim:
            messages = history.refit(messages, provider.history_tokens - history.size_of_json(request.extra))
    turn.ask(provider, model, messages)
    report.asking(turn)


def note(turn: Turn, error: errors.ProviderError, step: Step, then: Candidate) -> None:
    """Tells Sentry and the log of a failure that the caller need not hear of."""
    kind = "fallback" if step.fallback else "retry"
    provider = turn.provider.name
    context.breadcrumb(
        f"attempt failed, {kind} follows",
        provider=provider,
        model=privacy.name(turn.request.model),
        code=error.code,
        wait_s=round(step.wait, 3),
        then=then.provider.name,
    )
    metrics.retry(kind=kind, provider=provider, code=error.code, trace_id=turn.message.trace_id)
    logger.info("turn %s: %s %s, %s in %.1f s", turn.id, provider, error.code, kind, step.wait)
