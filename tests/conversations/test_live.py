"""The worker's care for turns: when it takes another's for dead, and what of what the database would not take."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import DataError, OperationalError
from django.utils import timezone

from conversations.keeping import Keeper
from conversations.live import TRIES, Registry
from conversations.models import Conversation, EventBatch, Message, Role, Status
from tests.chatproject.test_db import _pool  # noqa: F401 (ends the threads, and their connections)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def dead() -> Message:
    """An answer whose worker has let its lease run out."""
    owner = User.objects.create(username="owner")
    conversation = Conversation.objects.create(owner=owner, provider="fake", model="echo")
    over = timezone.now() - timedelta(seconds=1)
    return Message.objects.create(
        conversation=conversation, role=Role.ASSISTANT, status=Status.STREAMING, lease_until=over
    )


def test_a_turn_is_dead_when_it_looks_so_twice_in_a_row(dead: Message) -> None:
    registry = Registry()
    asyncio.run(registry.sweep())
    dead.refresh_from_db()
    assert dead.status == Status.STREAMING, "it may be an outage that is just over"
    asyncio.run(registry.sweep())
    dead.refresh_from_db()
    assert (dead.status, dead.error_code, dead.lease_until) == (Status.INTERRUPTED, "interrupted", None)


def test_a_turn_that_renews_its_lease_after_an_outage_goes_on(dead: Message) -> None:
    registry = Registry()
    asyncio.run(registry.sweep())
    Message.objects.update(lease_until=timezone.now() + timedelta(seconds=15))
    asyncio.run(registry.sweep())
    dead.refresh_from_db()
    assert dead.status == Status.STREAMING


def test_what_the_database_will_never_take_holds_up_nothing() -> None:
    saved: list[str] = []

    async def never() -> None:
        raise DataError("no")

    async def save() -> None:
        saved.append("this")

    registry = Registry()
    registry.owe(never)
    registry.owe(save)
    asyncio.run(registry.settle())
    assert saved == ["this"]


def test_what_the_database_cannot_take_now_is_tried_again_and_holds_up_nothing() -> None:
    saved: list[str] = []
    locked = True

    async def first() -> None:
        if locked:
            raise OperationalError("locked")
        saved.append("first")

    async def second() -> None:
        saved.append("second")

    registry = Registry()
    registry.owe(first)
    registry.owe(second)
    asyncio.run(registry.settle())
    assert saved == ["second"]
    locked = False
    asyncio.run(registry.settle())
    asyncio.run(registry.settle())
    assert saved == ["second", "first"]


def test_a_database_that_is_away_is_not_asked_for_each_answer() -> None:
    asked = 0

    async def away() -> None:
        nonlocal asked
        asked += 1
        raise OperationalError("away")

    registry = Registry()
    for _ in range(50):
        registry.owe(away)
    asyncio.run(registry.settle())
    assert asked == TRIES


class Detached:
    """Of a turn, what `Registry.keep` looks at."""

    def __init__(self, message_id: UUID, *events: bytes) -> None:
        self.keeper = Keeper(message_id)
        for event in events:
            self.keeper.add(event)


def test_events_whose_write_failed_stay_the_ends_when_those_of_another_turn_are_written(dead: Message) -> None:
    ended, other = Detached(uuid4(), b"one\n\n"), Detached(dead.pk, b"two\n\n")
    ended.keeper.due()  # to a write that fails
    before = ended.keeper.close(b"last\n\n")
    registry = Registry()
    registry.turns = {ended, other}  # type: ignore[assignment]
    asyncio.run(registry.keep())
    assert [batch.data for batch in EventBatch.objects.all()] == ["two\n\n"]
    assert other.keeper.due() == []
    assert ended.keeper.close(b"last\n\n") == before
    assert [batch.data for batch in before] == ["one\n\n", "last\n\n"]
