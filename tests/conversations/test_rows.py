"""What a turn's own statements store is what the ORM would have stored, to the byte of each column."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Model, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from uuid_utils.compat import uuid7

from conversations import rows, taking
from conversations.models import Assistant, Conversation, Message, MessageAttempt
from tests.plans import statements

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 2, 28, 23, 59, 59, 1, tzinfo=UTC)
WHOLE = datetime(2026, 1, 2, tzinfo=UTC)
"""Without microseconds, which SQLite leaves out."""
TEXT = "Grüße, 世界 🙂 100 % %s 'x' \"y\" \\ \n"
JSON = {"text": TEXT, "numbers": [1, 1.5, 10**20, -0.0], "none": None, "true": True, "nested": [{}, []]}
COSTS = ["0.00000001", "0.1", "0.2", "0.30000000", "12345.67890123", "1", "0", "0E-8", "1E-7"]


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("somebody")


@pytest.fixture
def conversation(owner: User) -> Conversation:
    return Conversation.objects.create(owner=owner, provider="p", model="m")


def full_conversation(of: Conversation) -> dict[str, Any]:
    assistant, _ = Assistant.objects.get_or_create(owner=of.owner, name="one", provider="p", model="m")
    return {
        "owner": of.owner,
        "title": TEXT,
        "provider": "p",
        "model": "m",
        "system_prompt": TEXT,
        "metadata": JSON,
        "parameters": JSON,
        "assistant": assistant,
        "forked_from": of,
        "forked_at": uuid7(),
        "archived": True,
        "pinned": True,
        "deleted_at": NOW,
        "message_count": 2**31 - 1,
        "token_count": 2**40,
        "failure_count": 3,
        "cost_usd": Decimal("123456.00000001"),
    }


def full_message(of: Conversation) -> dict[str, Any]:
    return {
        "conversation": of,
        "role": "assistant",
        "content": TEXT,
        "parts": JSON,
        "reasoning": TEXT,
        "tool_calls": [JSON],
        "tool_call_id": "call",
        "status": "failed",
        "finish_reason": "stop",
        "error_code": "code",
        "provider": "p",
        "model": "m",
        "prompt_tokens": 0,
        "completion_tokens": 1,
        "total_tokens": 2**31 - 1,
        "usage_estimated": True,
        "cost_usd": Decimal("0.1"),
        "ttft_ms": 1,
        "latency_ms": 2,
        "request_id": "r" * 64,
        "trace_id": "t" * 32,
        "sentry_event_id": "e" * 32,
        "lease_until": WHOLE,
        "cancel_requested": True,
        "superseded_by": uuid7(),
        "copied_from": uuid7(),
        "detached": True,
    }


def full_attempt(of: Conversation) -> dict[str, Any]:
    return {
        "message": Message.objects.create(conversation=of, role="assistant"),
        "number": 2**15 - 1,
        "provider": "p",
        "model": TEXT,
        "outcome": "failed",
        "error_code": "code",
        "provider_status": 503,
        "started_at": NOW,
        "ttft_ms": 1,
        "latency_ms": 2,
    }


OWN = {"id", "created_at", "last_activity_at"}
"""Fields that a model sets itself."""

every_model = pytest.mark.parametrize(
    ("model", "full"),
    [(Conversation, full_conversation), (Message, full_message), (MessageAttempt, full_attempt)],
)


def stored(model: type[Model], pk: Any = None) -> list[dict[str, Any]]:
    """The rows, or the one with that key, as the database has them, without a field's conversion; in their order."""
    sql, params = f"SELECT * FROM {model._meta.db_table}", []
    if connection.vendor == "sqlite":  # where each value has a type of its own
        columns = ", ".join(f"{f.column}, typeof({f.column}) AS {f.column}_" for f in model._meta.concrete_fields)
        sql = f"SELECT {columns} FROM {model._meta.db_table}"
    if pk is not None:
        sql, params = f"{sql} WHERE id = %s", [model._meta.pk.get_db_prep_value(pk, connection)]
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} ORDER BY id", params)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@every_model
@pytest.mark.parametrize("nulls", [False, True])
def test_rows_are_inserted_as_by_the_orm(
    conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
    model: type[Model],
    full: Callable[[Conversation], dict[str, Any]],
    nulls: bool,
) -> None:
    values = full(conversation)
    assert {field.name for field in model._meta.concrete_fields} - OWN == values.keys(), "every field is tried"
    if nulls:
        values |= dict.fromkeys(field.name for field in model._meta.concrete_fields if field.null)
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    keys = {"message_id", "message_id_", "id"} if model is MessageAttempt else {"id"}  # one attempt of a number
    before = len(stored(model))
    theirs, ours = model(**values), model(**values)
    if model is MessageAttempt:
        ours = model(**{**values, "message": Message.objects.create(conversation=conversation, role="assistant")})
    model._default_manager.bulk_create([theirs])
    rows.insert([ours])
    *_, by_orm, by_us = stored(model)
    assert len(stored(model)) == before + 2
    assert without(by_us, *keys) == without(by_orm, *keys)
    assert (ours._state.adding, ours._state.db) == (False, "default")


def test_what_a_model_sets_itself(conversation: Conversation) -> None:
    made = Message(conversation=conversation, role="user", content="x")
    rows.insert([made])
    found = Message.objects.get(pk=made.pk)
    assert found.created_at == made.created_at
    assert timezone.now() - made.created_at < timedelta(minutes=1)
    assert (found.parts, found.status, found.reasoning, found.detached) == (None, "completed", "", False)
    found.content = made.content = "y"
    made.save()  # it knows that it is stored
    assert Message.objects.get(pk=made.pk).content == "y"


@pytest.mark.parametrize("count", [0, 1, 2, rows.FEW, rows.FEW + 1, 130])
def test_any_number_of_rows(conversation: Conversation, count: int) -> None:
    made = [
        Message(conversation=conversation, role="tool", content=str(n), parts=JSON if n else None) for n in range(count)
    ]
    rows.insert(made)
    assert [(m.pk, m.content, m.parts) for m in Message.objects.all()] == [(m.pk, m.content, m.parts) for m in made]


def test_a_statement_for_all_of_them(conversation: Conversation) -> None:
    made = [Message(conversation=conversation, role="user") for _ in range(rows.FEW)]
    assert len(statements(lambda: rows.insert(made))) == 1


def test_a_row_that_may_not_be(conversation: Conversation) -> None:
    live = {"conversation": conversation, "role": "assistant", "status": "streaming"}
    rows.insert([Message(**live)])
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert([Message(conversation=conversation, role="user"), Message(**live)])
    assert Message.objects.count() == 1, "all of them or none"


@every_model
@pytest.mark.parametrize("nulls", [False, True])
def test_fields_are_updated_as_by_the_orm(
    conversation: Conversation,
    model: type[Model],
    full: Callable[[Conversation], dict[str, Any]],
    nulls: bool,
) -> None:
    values = full(conversation)
    least = {name: values[name] for name in ("owner", "conversation", "message") if name in values}
    if model is MessageAttempt:
        least |= {"number": 1, "started_at": WHOLE, "latency_ms": 0}
    row = model._default_manager.create(**least)
    if nulls:
        model._default_manager.filter(pk=row.pk).update(**values)
        values = {field.name: None for field in model._meta.concrete_fields if field.null}
    values = {model._meta.get_field(name).attname: getattr(value, "pk", value) for name, value in values.items()}
    with transaction.atomic():
        assert model._default_manager.filter(pk=row.pk).update(**values) == 1
        by_orm = stored(model, row.pk)
        transaction.set_rollback(True)
    assert rows.update(model, row.pk, values) == 1
    assert stored(model, row.pk) == by_orm


def test_other_rows_stay_and_one_that_is_gone_is_none(conversation: Conversation) -> None:
    first, second = (Message.objects.create(conversation=conversation, role="user", content="x") for _ in range(2))
    assert rows.update(Message, first.pk, {"content": "y"}) == 1
    assert rows.update(Message, uuid7(), {"content": "z"}) == 0
    assert [m.content for m in Message.objects.filter(pk__in=[first.pk, second.pk])] == ["y", "x"]


def give_back(conversation_id: UUID, tokens: int | None, failed: bool, cost_usd: Decimal | None) -> None:
    """taking.give_back as the ORM does it."""
    known = {} if cost_usd is None else {"cost_usd": Coalesce(F("cost_usd"), Value(Decimal(0))) + cost_usd}
    Conversation.objects.filter(pk=conversation_id).update(
        token_count=F("token_count") + (tokens or 0),
        failure_count=F("failure_count") + int(failed),
        last_activity_at=timezone.now(),
        **known,
    )


def test_a_conversation_adds_up_as_with_the_orm(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = (Conversation.objects.create(owner=owner, provider="p", model="m") for _ in range(2))
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    for cost in [None, *map(Decimal, COSTS[::-1]), None, *map(Decimal, COSTS * 20)]:
        tokens, failed = (None, True) if cost is None else (3, False)
        give_back(theirs.pk, tokens, failed, cost)
        taking.give_back(ours.pk, tokens=tokens, failed=failed, cost_usd=cost)
        own = ("id", "created_at")
        (by_orm,), (by_us,) = stored(Conversation, theirs.pk), stored(Conversation, ours.pk)
        assert without(by_us, *own) == without(by_orm, *own)
    ours.refresh_from_db()
    assert ours.cost_usd == 21 * sum(map(Decimal, COSTS))


def test_a_cost_stays_unknown_until_one_is_known(conversation: Conversation) -> None:
    taking.give_back(conversation.pk, tokens=None, failed=True, cost_usd=None)
    conversation.refresh_from_db()
    assert (conversation.cost_usd, conversation.token_count, conversation.failure_count) == (None, 0, 1)
    taking.give_back(conversation.pk, tokens=5, failed=False, cost_usd=Decimal(0))
    conversation.refresh_from_db()
    assert (conversation.cost_usd, conversation.token_count, conversation.failure_count) == (0, 5, 1)


def test_a_conversation_that_is_gone_is_not_given_back() -> None:
    taking.give_back(uuid7(), tokens=1, failed=False, cost_usd=Decimal(1))
    assert not Conversation.objects.exists()
