"""A turn in the database: its start and its end. Each is one transaction, synchronous, run through chatproject.db."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone

from chatproject import writing
from chatproject.apikeys import ledger
from chatproject.apikeys.models import ApiKey
from chatproject.problems import Problem
from conversations import branching, edits, history, kept_events, leases, lookup, rows, spending, statistics, taking
from conversations.branching import Question
from conversations.edits import Route
from conversations.keeping import Batch
from conversations.leases import busy
from conversations.models import TITLE_LENGTH, Conversation, Message, MessageAttempt, Role, Status
from conversations.turn import ToolResult
from providers import breaker
from providers.base import ChatMessage, Part
from providers.registry import Provider

LOOKED_AT = 1_000
"""Messages among which open tool calls are looked for: a turn has up to 128 results, and may be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a turn starts from. `conversation_id` None makes a new conversation, with the fields `new`, see
    edits.new_conversation.
    """

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
    key: ApiKey | None = None
    """Whose limits hold."""
    temperature: float | None = None
    max_tokens: int | None = None
    detached: bool = False
    """Whether its events are kept."""
    regenerates: UUID | None = None
    """As Ask has it, as is `edits`."""
    edits: UUID | None = None

    @property
    def says_something(self) -> bool:
        """Whether there is a user's message, and not tool results alone."""
        return bool(self.content or self.parts)

    @property
    def messages(self) -> int:
        """How many the conversation will have more. An answer that is made again takes the place of one."""
        return len(self.tool_results) + int(self.says_something) + (0 if self.regenerates else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    conversation: Conversation
    message: Message
    provider: Provider
    prompt: list[ChatMessage]
    reserved: spending.Reserved
    temperature: float | None


def start_turn(start: Start) -> Started:
    """Stores the tool results, the user's message and the assistant's, still empty, and reads what goes to the
    provider.

    Raises Problem `conversation_not_found`, `turn_in_progress`, `tool_results_mismatch`, `invalid_request` for images
    where there can be none, and those of edits.new_conversation, branching.again, branching.fork_before and
    spending.reserve; then nothing is written.
    """
    breaker.refresh()  # here it costs no thread of its own
    try:
        with writing.atomic():
            return _start(start)
    except IntegrityError:
        if not Message.objects.filter(conversation=start.conversation_id, status=Status.STREAMING).exists():
            raise
        # Two turns passed the look-up at once; the database let one in.
        raise busy() from None


def _start(start: Start) -> Started:
    conversation, provider, model = _conversation(start)
    question = _question(start, conversation, provider)
    prompt = build_prompt(start, conversation, provider, question)
    usual = conversation.parameters
    max_tokens = usual.get("max_tokens") if start.max_tokens is None else start.max_tokens
    reserved = spending.reserve(
        start.key, start.message_id, provider, model, prompt, start.extra, max_tokens
    )  # the last thing that can refuse the turn: from here on others with the same key wait
    answer = _insert_messages(start, conversation, provider, model)
    if start.detached:
        kept_events.begin(answer)
    return Started(
        conversation=conversation,
        message=answer,
        provider=provider,
        prompt=prompt,
        reserved=reserved,
        temperature=usual.get("temperature") if start.temperature is None else start.temperature,
    )


def _conversation(start: Start) -> tuple[Conversation, Provider, str]:
    """The conversation, stored, with the provider and the model that answer."""
    if start.conversation_id is None:
        conversation, provider = edits.new_conversation(start.owner, start.new, start.route)
        _check_images(start, provider)
        conversation.title = conversation.title or title_from(start.content)
        conversation.message_count = start.messages
        rows.insert([conversation])
        return conversation, provider, conversation.model
    if start.edits is not None:
        return _fork(start, start.conversation_id, start.edits)
    conversation, answering = taking.take(
        start.owner, start.conversation_id, title=title_from(start.content), messages=start.messages
    )
    provider, model = start.route(conversation)
    _check_images(start, provider)
    if answering:
        leases.take_over_dead_turn(conversation.messages.all())
    _check_tool_results(start, conversation)
    return conversation, provider, model


def _fork(start: Start, source_id: UUID, message_id: UUID) -> tuple[Conversation, Provider, str]:
    """The same for a fork of the conversation before that message."""
    source = lookup.conversation_of(start.owner, source_id, lock=True)
    provider, model = start.route(source)
    _check_images(start, provider)
    fork = branching.fork_before(source, message_id, start.user_message_id)
    fork.title = fork.title or title_from(start.content)
    fork.message_count += start.messages
    fork.save(update_fields=["title", "message_count"])
    return fork, provider, model


def _question(start: Start, conversation: Conversation, provider: Provider) -> Question:
    """What is answered: what `start` brings, or what the answer that it regenerates was for."""
    if start.regenerates is not None:
        return branching.again(conversation, start.regenerates, start.message_id, images=provider.images)
    messages: list[ChatMessage] = [
        {"role": "tool", "content": result.content, "tool_call_id": result.tool_call_id}
        for _, result in start.tool_results
    ]
    if start.says_something:
        messages.append({"role": "user", "content": start.parts or start.content})
    return Question(messages, stored_since=None)


def build_prompt(start: Start, conversation: Conversation, provider: Provider, question: Question) -> list[ChatMessage]:
    """The system prompt and the question, always; between them as much history as the provider's budget holds."""
    system = conversation.system_prompt or start.system_prompt
    first: list[ChatMessage] = [{"role": "system", "content": system}] if system else []
    budget = provider.history_tokens - sum(map(history.size_of, first)) - history.size_of_json(start.extra)
    said = history.window(
        conversation.pk if start.conversation_id else None,  # in a new one is nothing to be read
        question.messages,
        budget,
        provider=provider.name,
        images=provider.images,
        before=question.stored_since,
    )
    return [*first, *said]


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
        detached=start.detached,
        lease_until=timezone.now() + leases.LEASE,
        **common,
    )
    rows.insert([*messages, answer])
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
        detail = "The tool results must answer the open tool calls, each of them and no others."
        if not waiting:
            detail = "No tool call is open: the conversation's last message has to be one with calls."
        raise Problem("tool_results_mismatch", detail, open_tool_calls=waiting)


def open_tool_calls(conversation: Conversation) -> list[str]:
    """The ids of the calls in the conversation's last answer; of none when that broke off, since they may lack their
    ends. Calls are open until an answer to their results is complete: those of a turn that failed can be sent again.
    """
    messages = Message.objects.filter(conversation=conversation, superseded_by__isnull=True).order_by("-id")
    for message in messages.values("role", "tool_calls", "status")[:LOOKED_AT].iterator():
        if message["role"] == Role.ASSISTANT and message["status"] == Status.COMPLETED:
            return [call["id"] for call in message["tool_calls"] or []]
        if message["role"] == Role.USER:
            return []
    return []


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
    with writing.atomic():
        running.update(status=status, error_code=code, lease_until=None)
        ledger.settle(message_id, None, None)


def finish_turn(
    message: Message,
    fields: Iterable[str],
    attempts: Sequence[MessageAttempt],
    events: Collection[Batch] = (),
    *,
    metered: bool = False,
) -> None:
    """Writes the named fields of a finished message, its attempts and the last of its kept events, and counts it on its
    conversation and in the statistics."""
    values = {name: getattr(message, name) for name in fields}
    for attempt in attempts:
        attempt.pk = None  # what it may have got was rolled back
    with writing.atomic():
        # First: it locks the conversation, as a deletion does before it comes to the messages.
        taking.give_back(
            message.conversation_id,
            tokens=message.total_tokens,
            failed=message.status == Status.FAILED,
            cost_usd=message.cost_usd,
        )
        # update(), not save(): both may have been deleted meanwhile.
        stored = rows.update(Message, message.pk, {**values, "lease_until": None})
        if metered:
            ledger.settle(message.pk, message.total_tokens, message.cost_usd)
        if stored:
            rows.insert(attempts)
            kept_events.write(events)
            count(message)


def count(message: Message) -> None:
    """Adds the finished message to its user's statistics."""
    statistics.count(
        user_id=message.conversation.owner_id,
        provider=message.provider,
        model=message.model,
        status=message.status,
        prompt_tokens=message.prompt_tokens,
        completion_tokens=message.completion_tokens,
        cost_usd=message.cost_usd,
        ttft_ms=message.ttft_ms,
    )


def finish_turn_late(
    message: Message,
    fields: Iterable[str],
    attempts: Sequence[MessageAttempt],
    events: Collection[Batch] = (),
    *,
    metered: bool = False,
) -> None:
    """The same after the database was away, when nobody knows whether it was before or after it had stored the turn."""
    if Message.objects.filter(pk=message.pk, latency_ms__isnull=False).exists():  # only an end that is stored has one
        return
    finish_turn(message, fields, attempts, events, metered=metered)
