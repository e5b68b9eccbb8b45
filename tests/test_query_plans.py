"""No query that grows in number with the traffic, or that the admin's lists make, reads a table from end to end.

On the database that the suite runs on, filled so that an index is worth its while; the planner is not told to avoid
anything. SQLite plans without statistics, as a server does, which never runs ANALYZE there.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client as Browser
from django.utils import timezone
from uuid_utils.compat import uuid7

from chatproject import long_lists
from chatproject.apikeys import ledger
from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey, LedgerDay, LedgerEntry
from conversations import feedback, idempotent, kept_events, leases, listing, lookup, retention, statistics, store
from conversations.keeping import Batch
from conversations.listing import Filters
from conversations.models import (
    Assistant,
    Conversation,
    ConversationTag,
    EventBatch,
    Feedback,
    IdempotentRequest,
    Message,
    MessageAttempt,
    TurnStatistics,
)
from conversations.search import finding, indexing
from conversations.turns import FINAL_FIELDS
from providers import routing
from tests.plans import scans, statements

USERS = 500
"""With conversations; there are more."""

CONVERSATIONS = 5_000
MESSAGES = 5
"""In each conversation."""

pytestmark = pytest.mark.django_db

LIST = "/admin/conversations/conversation/"
NOW = timezone.now()


class Full(NamedTuple):
    """A database with much in it, and some of that."""

    owner: User
    key: ApiKey
    plain: str
    conversation: Conversation
    answer: Message
    """A completed one, the conversation's last."""
    tagged: ConversationTag
    assistant: Assistant
    request_id: str


@pytest.fixture(scope="module")
def full(django_db_setup: None, django_db_blocker: Any) -> Iterator[Full]:
    with django_db_blocker.unblock():
        yield fill()
        call_command("flush", interactive=False, verbosity=0)
        indexing.start_over()  # its tables are no models, which is all that is flushed


@pytest.fixture
def admin(full: Full, monkeypatch: pytest.MonkeyPatch) -> Browser:
    monkeypatch.setattr(long_lists, "MOST", CONVERSATIONS // 50)  # fewer than there are, as with a million
    browser = Browser()
    browser.force_login(User.objects.create(username=uuid4().hex, is_staff=True, is_superuser=True))
    return browser


def fill() -> Full:
    users = User.objects.bulk_create(User(username=f"user{n}") for n in range(10 * USERS))[:USERS]
    keys = [ApiKey(user=user, name="key", prefix=f"p{user.pk:07}", key_hash="-") for user in users]
    ApiKey.objects.bulk_create(keys)
    assistants = Assistant.objects.bulk_create(
        Assistant(owner=user, name="one", provider="local", model="m") for user in users
    )
    conversations = fill_conversations(users, assistants)
    messages = fill_messages(conversations)
    fill_the_rest(users, keys, conversations, messages)
    owner = users[1]
    key, plain = ApiKey.objects.issue(user=owner, name="own", tokens_per_minute=10**9, budget_day_usd=Decimal(10**6))
    indexing.index_for(60)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # as autovacuum does
    # Of the owner's, one that is neither archived nor deleted.
    conversation = Conversation.objects.filter(owner=owner, archived=False, deleted_at=None).first()
    assert conversation is not None
    answer = conversation.messages.filter(role="assistant").last()
    assert answer is not None
    tagged = ConversationTag.objects.filter(conversation__owner=owner).first()
    assert tagged is not None
    return Full(owner, key, plain, conversation, answer, tagged, assistants[1], answer.request_id)


def fill_conversations(users: list[User], assistants: list[Assistant]) -> list[Conversation]:
    with mock.patch.object(Conversation._meta.get_field("last_activity_at"), "auto_now_add", new=False):
        return Conversation.objects.bulk_create(
            Conversation(
                owner=users[n % USERS],
                assistant=assistants[n % USERS] if n % 3 == 0 else None,
                provider=("local", "openai", "anthropic")[n % 3] if n % 100 else "rare",
                model="m",
                archived=n % 200 == 0,
                pinned=n % 150 == 0,
                deleted_at=NOW - timedelta(days=n / 100) if n % 250 == 0 else None,
                last_activity_at=NOW - timedelta(hours=n / 20),
            )
            for n in range(CONVERSATIONS)
        )


def fill_messages(conversations: list[Conversation]) -> list[Message]:
    statuses = {100: "failed", 200: "cancelled", 300: "interrupted"}
    return Message.objects.bulk_create(
        Message(
            conversation=conversation,
            role="assistant" if n % 2 else "user",
            content=f"word{c % 50} number{c}" if n == 0 else "",  # to index all of them takes long
            status=statuses.get(c % 400, "completed") if n % 2 else "completed",
            request_id=uuid4().hex,
            trace_id=uuid4().hex,
            sentry_event_id=uuid4().hex if c % 100 == 0 else "",
        )
        for c, conversation in enumerate(conversations)
        for n in range(MESSAGES)
    )


def fill_the_rest(
    users: list[User], keys: list[ApiKey], conversations: list[Conversation], messages: list[Message]
) -> None:
    answers = [message for message in messages if message.role == "assistant"]
    ConversationTag.objects.bulk_create(
        ConversationTag(conversation=conversation, name=f"tag{n % 97}") for n, conversation in enumerate(conversations)
    )
    MessageAttempt.objects.bulk_create(
        MessageAttempt(message=answer, number=1, outcome="completed", started_at=NOW, latency_ms=1)
        for answer in answers[::2]
    )
    Feedback.objects.bulk_create(
        Feedback(message=answer, user=users[n % USERS], rating="down" if n % 40 == 0 else "up")
        for n, answer in enumerate(answers[::4])
    )
    EventBatch.objects.bulk_create(EventBatch(message=answer, first=0, last=9, data="") for answer in answers[::4])
    IdempotentRequest.objects.bulk_create(
        IdempotentRequest(user=user, key=f"key{n}", fingerprint="-", lease_until=NOW)
        for user in users
        for n in range(4)
    )
    TurnStatistics.objects.bulk_create(
        TurnStatistics(user=user, day=NOW - timedelta(days=n), provider="local", model="m", bucket=n, turns=1)
        for user in users
        for n in range(8)
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            turn_id=uuid7(),
            key=keys[n % USERS],
            created_at=NOW - timedelta(minutes=n),
            tokens_reserved=1,
            cost_reserved=Decimal(0),
            settled_at=NOW if n % 50 else None,
        )
        for n in range(5_000)
    )
    LedgerDay.objects.bulk_create(
        LedgerDay(key=key, day=(NOW - timedelta(days=n)).date()) for key in keys for n in range(4)
    )


def assert_indexed(act: Callable[[], object], least: int = 1) -> None:
    """Asserts that `act` makes `least` statements, and that none of them scans. What it changes is undone."""
    with transaction.atomic():
        made = statements(act)
        found = [scan for statement in made for scan in scans(statement)]
        transaction.set_rollback(True)
    assert len(made) >= least, made
    assert not found, "\n".join(found)


def start(full: Full, **fields: Any) -> store.Start:
    provider = routing.provider_named("local")
    known: dict[str, Any] = {
        "owner": full.owner,
        "conversation_id": full.conversation.pk,
        "new": {},
        "user_message_id": uuid7(),
        "message_id": uuid7(),
        "content": "hello",
        "parts": None,
        "content_field": "content",
        "tool_results": (),
        "extra": {},
        "route": lambda _: (provider, "m"),
        "system_prompt": "",
        "request_id": "r",
        "trace_id": "t",
        "key": full.key,
        "detached": True,
    }
    return store.Start(**{**known, **fields})


# --- turns


def test_the_key_of_a_request(full: Full) -> None:
    assert_indexed(lambda: authenticate(full.plain))


def test_the_key_of_a_request_when_it_is_unknown(full: Full) -> None:
    assert_indexed(lambda: authenticate("ck_" + "x" * 8 + "_" + "y" * 40))


def test_a_turn_that_is_metered_and_keeps_its_events(full: Full) -> None:
    def turn() -> None:
        started = store.start_turn(start(full))
        assert started.reserved.metered
        attempts = [MessageAttempt(message=started.message, number=1, started_at=NOW, latency_ms=1)]
        events = [Batch(started.message.pk, 1, 2, "")]
        leases.keep_alive([started.message.pk], {started.message.pk: "text"}, [started.message.pk])
        kept_events.write(events)
        started.message.status = "completed"
        started.message.total_tokens, started.message.cost_usd = 3, Decimal("0.1")
        store.finish_turn(started.message, FINAL_FIELDS, attempts, events, metered=True)

    assert_indexed(turn, least=20)


def test_a_turn_with_a_history_that_has_no_question_near(full: Full) -> None:
    Message.objects.bulk_create(
        Message(conversation=full.conversation, role="assistant", content="x") for _ in range(200)
    )
    assert_indexed(lambda: store.start_turn(start(full)), least=8)


def test_a_turn_that_takes_over_a_dead_one(full: Full) -> None:
    dead = {"role": "assistant", "status": "streaming", "lease_until": NOW - timedelta(hours=1)}

    def turn() -> None:
        Message.objects.create(conversation=full.conversation, **dead)
        store.start_turn(start(full))

    assert_indexed(turn, least=8)


def test_an_answer_that_is_made_again(full: Full) -> None:
    last = full.conversation.messages.last()
    assert last is not None
    again = Message.objects.create(conversation=full.conversation, role="assistant", content="again")
    assert_indexed(lambda: store.start_turn(start(full, regenerates=again.pk, content="")), least=6)


def test_an_edit_which_forks(full: Full) -> None:
    asked = full.conversation.messages.filter(role="user").last()
    assert asked is not None
    assert_indexed(lambda: store.start_turn(start(full, edits=asked.pk)), least=6)


def test_a_request_with_an_idempotency_key(full: Full) -> None:
    def request() -> None:
        claim = idempotent.claim(full.owner, "new", "f")
        assert isinstance(claim, idempotent.Claim)
        idempotent.keep_alive([claim.pk])
        idempotent.keep(claim.pk, 200, {}, "")
        idempotent.claim(full.owner, "new", "f")

    assert_indexed(request, least=6)


def test_cancelling_a_turn(full: Full) -> None:
    assert_indexed(lambda: leases.cancel_turn(full.owner, full.conversation.pk, full.answer.pk), least=2)


def test_following_the_events_of_a_turn(full: Full) -> None:
    message_id = EventBatch.objects.values_list("message", flat=True)[0]

    def follow() -> None:
        kept_events.last_of(message_id)
        kept_events.read(message_id, -1)
        kept_events.ended(message_id)

    assert_indexed(follow, least=3)


# --- what a worker does by itself


def test_the_look_for_turns_that_somebody_has_ended(full: Full) -> None:
    assert_indexed(lambda: leases.unwanted([full.answer.pk]))


def test_the_sweep_of_dead_turns(full: Full) -> None:
    Message.objects.create(
        conversation=full.conversation, role="assistant", status="streaming", lease_until=NOW - timedelta(hours=1)
    )
    assert_indexed(lambda: leases.sweep_turns(leases.dead_turn_ids([])), least=2)
    assert_indexed(leases.sweep_turns)


def test_the_indexing_of_what_was_said(full: Full) -> None:
    def say() -> None:
        Message.objects.create(conversation=full.conversation, role="user", content="something new")
        Conversation.objects.filter(pk=full.conversation.pk).update(title="A title")
        assert indexing.index_batch()

    assert_indexed(say, least=8)


def test_the_deletion_of_kept_events_and_results(full: Full) -> None:
    EventBatch.objects.filter(message=full.answer.pk).delete()
    EventBatch.objects.create(message=full.answer, first=0, last=1, data="")
    EventBatch.objects.filter(message=full.answer).update(created_at=NOW - timedelta(days=9))
    some = IdempotentRequest.objects.values("pk")[:10]
    IdempotentRequest.objects.filter(pk__in=list(some.values_list("pk", flat=True))).update(
        created_at=NOW - timedelta(days=9)
    )

    def clean() -> None:
        assert kept_events.delete_old() == 1
        assert idempotent.delete_old() == 10

    assert_indexed(clean, least=5)


# --- reading


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(archived=True),
        Filters(archived=None),
        Filters(pinned=True),
        Filters(pinned=False),
        Filters(deleted=True, archived=None),
        Filters(tags=["tag1", "tag2"]),
        Filters(metadata=["ticket:A-17"]),
    ],
    ids=str,
)
def test_the_list_of_conversations(full: Full, filters: Filters) -> None:
    _, cursor = listing.conversations_page(full.owner, Filters(), 2, None)
    assert cursor
    assert_indexed(lambda: listing.conversations_page(full.owner, filters, 20, None))
    assert_indexed(lambda: listing.conversations_page(full.owner, filters, 20, cursor))


def test_the_list_of_an_assistants_conversations(full: Full) -> None:
    filters = Filters(assistant_id=full.assistant.pk)
    assert_indexed(lambda: listing.conversations_page(full.owner, filters, 20, None))


def test_opening_a_conversation(full: Full) -> None:
    def read() -> None:
        lookup.read_conversation(full.owner, full.conversation.pk)
        _, cursor = lookup.messages_page(full.owner, full.conversation.pk, 2, None)
        lookup.messages_page(full.owner, full.conversation.pk, 2, cursor, superseded=True)
        lookup.attempts_of(full.owner, full.conversation.pk, full.answer.pk)

    assert_indexed(read, least=9)


@pytest.mark.parametrize("text", ["number21", "word1", "wor", '"word1 number1"', "nothing"])
def test_the_search(full: Full, text: str) -> None:
    assert_indexed(lambda: finding.search(full.owner, text, limit=20))
    assert_indexed(lambda: finding.search(full.owner, text, limit=20, conversation_id=full.conversation.pk), least=2)


def test_feedback(full: Full) -> None:
    give = ("up", "fine")
    assert_indexed(lambda: feedback.give(full.owner, full.conversation.pk, full.answer.pk, *give), least=4)


def test_statistics(full: Full) -> None:
    days = (NOW - timedelta(days=5)).date(), NOW.date()
    assert_indexed(lambda: statistics.groups(full.owner, *days, by=["day"]))


def test_the_spending_of_a_key(full: Full) -> None:
    assert_indexed(lambda: ledger.spend_of(full.key, NOW), least=2)


# --- what is deleted


def test_retention(full: Full) -> None:
    rows = retention.unused_since(NOW - timedelta(hours=CONVERSATIONS / 20 - 1))
    assert 0 < rows.count() < 100
    assert_indexed(lambda: retention.delete_all(rows, batch=10), least=10)


def test_the_purge_of_deleted_conversations(full: Full) -> None:
    rows = retention.deleted_before(NOW - timedelta(days=40))
    assert 0 < rows.count() < 100
    assert_indexed(lambda: retention.delete_all(rows, batch=10), least=10)


# --- the admin


@pytest.mark.parametrize(
    "query",
    [
        "",
        "p=2",
        "provider=rare",
        "provider=local",
        "status=failed",
        "status=cancelled",
        "status=interrupted",
        "status=streaming",
        "feedback=down",
        "feedback=up",
        "deleted=yes",
        "deleted=no",
        "archived__exact=1",
        "archived__exact=0",
        "last_activity_at__gte={yesterday}",
        "provider=local&status=failed&deleted=no",
        "q=number21",
        "q=user7",
        "q=user7+number21",
        "q={request_id}",
        "q={conversation}",
        "q=0123456789abcdef0123456789abcdef",
    ],
)
def test_the_admins_list_of_conversations(full: Full, admin: Browser, query: str) -> None:
    def read() -> None:
        yesterday = quote((NOW - timedelta(days=1)).isoformat())
        filled = query.format(request_id=full.request_id, conversation=full.conversation.pk, yesterday=yesterday)
        response = admin.get(f"{LIST}?{filled}")
        assert response.status_code == 200

    assert_indexed(read, least=3)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL goes by how many rows match")
@pytest.mark.parametrize(
    ("index", "query"),
    [
        ("activity_of_provider", "provider=rare"),
        ("activity_archived", "archived__exact=1"),
        ("activity_deleted", "deleted=yes"),
    ],
)
def test_an_index_of_that_list_would_be_missed(full: Full, admin: Browser, index: str, query: str) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX {index}")
        made = statements(lambda: admin.get(f"{LIST}?{query}"))
        assert any(scans(statement) for statement in made)
        transaction.set_rollback(True)


def test_the_admins_transcript(full: Full, admin: Browser) -> None:
    assert_indexed(lambda: admin.get(f"{LIST}{full.conversation.pk}/change/"), least=6)


def test_the_admins_deletion_of_a_conversation(full: Full, admin: Browser) -> None:
    assert_indexed(lambda: admin.get(f"{LIST}{full.conversation.pk}/delete/"), least=4)


@pytest.mark.parametrize("query", ["", "key__id__exact={key}", "q={turn}", "q={prefix}"])
def test_the_admins_list_of_the_ledger(full: Full, admin: Browser, query: str) -> None:
    entry = LedgerEntry.objects.select_related("key").first()
    assert entry is not None
    filled = query.format(key=entry.key_id, turn=entry.pk, prefix=entry.key.prefix)
    assert_indexed(lambda: admin.get(f"/admin/apikeys/ledgerentry/?{filled}"), least=3)
