"""A turn in the database: its start and its end. Each is one transaction, synchronous, run through chatproject.db."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from chatproject.problems import Problem
from conversations import history, leases, lookup
from conversations.models import TITLE_LENGTH, Conversation, Message, MessageAttempt, Role, Status
from conversations.turn import ToolResult
from providers import breaker
from providers.base import ChatMessage, Part
from providers.registry import Provider

LOOKED_AT = 1_000
"""Messages among which open tool calls are looked for: a turn has up to 128 results, and may be tried again."""

Route = Callable[[Conversation | None], tuple[Provider, str]]
"""Chooses the provider and the model for a turn of this conversation; None is one yet to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a turn starts from. `conversation_id` None makes a new conversation, with the fields `new`."""

    owner: User
    conversation_id: UUID | None
    new: dict[str, Any]
    user_message_id: UUID
    message_id: UUID
    """The assistant's message; named in advance, so that a caller who is cancelled meanwhile can still end it."""
    content: str
    parts: list[Part] | None
    content_field: str
    """What the caller calls the content, for what is wrong with it."""
    tool_results: tuple[tuple[UUID, ToolResult], ...]
    """With the ids of their messages, in the order of these."""
    extra: Mapping[str, Any]
    """ChatRequest.extra."""
    route: Route
    system_prompt: str
    """For a conversation that has none."""
    request_id: str
    trace_id: str

    @property
    def says_something(self) -> bool:
        """Whether there is a user's message, and not tool results alone."""
        return bool(self.content or self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    conversation: Conversation
    message: Message
    provider: Provider
    prompt: list[ChatMessage]


def start_turn(start: Start) -> Started:
    """Stores the tool results, the user's message and the assistant's, still empty, and reads what goes to the
    provider.

    Raises Problem `conversation_not_found`, `turn_in_progress`, `tool_results_mismatch`, or `invalid_request` for
    images where there can be none; then nothing is written.
    """
    breaker.refresh()  # here it costs no thread of its own
    try:
        with transaction.atomic():
            return _start(start)
    except IntegrityError:
        if not Message.objects.filter(conversation=start.conversation_id, status=Status.STREAMING).exists():
            raise
        # Two turns passed the look-up at once; the database let one in.
        raise busy() from None


def busy() -> Problem:
    return Problem(
        "turn_in_progress",
        "Wait for the running turn of this conversation to end, or use another conversation.",
        headers={"Retry-After": "1"},
    )


def _start(start: Start) -> Started:
    if start.conversation_id is None:
        provider, model = start.route(None)
        _check_images(start, provider)
        conversation = Conversation(owner=start.owner, provider=provider.name, model=model, **start.new)
        conversation.save(force_insert=True)
    else:
        conversation = lookup.conversation_of(start.owner, start.conversation_id, lock=True)
        provider, model = start.route(conversation)
        _check_images(start, provider)
        _take_over_dead_turn(conversation)
        _check_tool_results(start, conversation)
    prompt = build_prompt(start, conversation, provider)
    answer = _insert_messages(start, conversation, provider, model)
    return Started(conversation=conversation, message=answer, provider=provider, prompt=prompt)


def build_prompt(start: Start, conversation: Conversation, provider: Provider) -> list[ChatMessage]:
    """The system prompt and the new message, always; between them as much history as the provider's budget holds."""
    system = conversation.system_prompt or start.system_prompt
    first: list[ChatMessage] = [{"role": "system", "content": system}] if system else []
    new: list[ChatMessage] = [
        {"role": "tool", "content": result.content, "tool_call_id": result.tool_call_id}
        for _, result in start.tool_results
    ]
    if start.says_something:
        new.append({"role": "user", "content": start.parts or start.content})
    budget = provider.history_tokens - sum(map(history.size_of, first)) - history.size_of_json(start.extra)
    return [*first, *history.window(start.conversation_id, new, budget, provider=provider.name, images=provider.images)]


def _insert_messages(start: Start, conversation: Conversation, provider: Provider, model: str) -> Message:
    common = {"conversation": conversation, "request_id": start.request_id, "trace_id": start.trace_id}
    messages = [
        Message(id=id_, role=Role.TOOL, content=result.content, tool_call_id=result.tool_call_id, **common)
        for id_, result in start.tool_results
    ]
    if start.says_something:
        messages.append(
            Message(id=start.user_message_id, role=Role.USER, content=start.content, parts=start.parts, **common)
        )
    answer = Message(
        id=start.message_id,
        role=Role.ASSISTANT,
        status=Status.STREAMING,
        provider=provider.name,
        model=model,
        lease_until=timezone.now() + leases.LEASE,
        **common,
    )
    Message.objects.bulk_create([*messages, answer])
    Conversation.objects.filter(pk=conversation.pk).update(
        # In SQL: a title that is given while the turn starts must not be lost.
        title=Case(When(title="", then=Value(title_from(start.content))), default=F("title")),
        message_count=F("message_count") + len(messages) + 1,
        last_activity_at=answer.created_at,
    )
    return answer


def _check_images(start: Start, provider: Provider) -> None:
    """Raises `invalid_request` when there are images and the provider takes none."""
    if start.parts and not provider.images:
        message = f"the provider {provider.name} takes no images; leave them out or name another provider"
        field = start.content_field
        raise Problem("invalid_request", f"{field}: {message}.", errors=[{"field": field, "message": message}])


def _check_tool_results(start: Start, conversation: Conversation) -> None:
    """Raises `tool_results_mismatch` unless the results, if there are any, are those that the last answer waits for."""
    if not start.tool_results:
        return
    waiting = open_tool_calls(conversation)
    if {result.tool_call_id for _, result in start.tool_results} != set(waiting):
        detail = "tool_results: must answer the open tool calls, each of them and no others."
        if not waiting:
            detail = "tool_results: no tool call is open; the conversation's last message has to be one with calls."
        raise Problem("tool_results_mismatch", detail, open_tool_calls=waiting)


def open_tool_calls(conversation: Conversation) -> list[str]:
    """The ids of the calls in the conversation's last answer; of none when that broke off, since they may lack their
    ends. Calls are open until an answer to their results is complete: those of a turn that failed can be sent again.
    """
    messages = Message.objects.filter(conversation=conversation).order_by("-id")
    for message in messages.values("role", "tool_calls", "status")[:LOOKED_AT].iterator():
        if message["role"] == Role.ASSISTANT and message["status"] == Status.COMPLETED:
            return [call["id"] for call in message["tool_calls"] or []]
        if message["role"] == Role.USER:
            return []
    return []


def _take_over_dead_turn(conversation: Conversation) -> None:
    """Ends the conversation's live turn when its lease has run out; raises `turn_in_progress` when it has not."""
    turn = Message.objects.filter(conversation=conversation, status=Status.STREAMING).first()
    if turn is None:
        return
    if turn.live:
        raise busy()
    Message.objects.filter(pk=turn.pk, status=Status.STREAMING).update(**leases.DEAD)


def title_from(content: str) -> str:
    """A conversation's title from its first message: its first line, cut at a word."""
    line = " ".join(content.split("\n", 1)[0].split()) or " ".join(content.split())
    if len(line) <= 80:
        return line
    return line[:80].rsplit(" ", 1)[0][:TITLE_LENGTH] + "…"


def abandon_turn(message_id: UUID, status: Status) -> None:
    """Ends a turn that was stored but never ran."""
    code = "interrupted" if status == Status.INTERRUPTED else ""
    running = Message.objects.filter(pk=message_id, status=Status.STREAMING)
    running.update(status=status, error_code=code, lease_until=None)


def finish_turn(message: Message, fields: Iterable[str], attempts: Collection[MessageAttempt]) -> None:
    """Writes the named fields of a finished message and its attempts, and counts it on its conversation."""
    values = {name: getattr(message, name) for name in fields}
    with transaction.atomic():
        # First: it locks the conversation, as a deletion does before it comes to the messages.
        Conversation.objects.filter(pk=message.conversation_id).update(
            token_count=F("token_count") + (message.total_tokens or 0),
            failure_count=F("failure_count") + int(message.status == Status.FAILED),
            last_activity_at=timezone.now(),
            **spent(message),
        )
        # update(), not save(): both may have been deleted meanwhile.
        if Message.objects.filter(pk=message.pk).update(**values, lease_until=None):
            MessageAttempt.objects.bulk_create(attempts)


def finish_turn_late(message: Message, fields: Iterable[str], attempts: Collection[MessageAttempt]) -> None:
    """The same after the database was away, when nobody knows whether it was before or after it had stored the turn."""
    if MessageAttempt.objects.filter(message=message.pk).exists():
        return
    for attempt in attempts:
        attempt.pk = None  # what it got was rolled back
    finish_turn(message, fields, attempts)


def spent(message: Message) -> dict[str, Any]:
    """The change of the conversation's cost; none when the price is unknown."""
    if message.cost_usd is None:
        return {}
    return {"cost_usd": Coalesce(F("cost_usd"), Value(Decimal(0))) + message.cost_usd}
