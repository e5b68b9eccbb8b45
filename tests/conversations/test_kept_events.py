"""Events on their way into the database and in it: batches, what is read of them, and when they go."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from conversations import kept_events
from conversations.encoding import encode, is_last
from conversations.keeping import LARGEST, Batch, Keeper
from conversations.models import Conversation, EventBatch, Message, Role, Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def message(owner: User) -> Message:
    """The answer of a turn that runs."""
    conversation = Conversation.objects.create(owner=owner, provider="fake", model="echo")
    return Message.objects.create(
        conversation=conversation, role=Role.ASSISTANT, status=Status.STREAMING, detached=True
    )


def event(number: int, text: str = "a") -> bytes:
    return encode("message.delta", number, f'{{"delta": "{text}"}}')


LAST = encode("message.completed", 4, "{}")


def data_of(*numbers: int) -> str:
    return b"".join(map(event, numbers)).decode()


# On their way


def test_what_has_come_is_one_batch(message: Message) -> None:
    keeper = Keeper(message.pk)
    assert keeper.due() == []
    for number in (1, 2):
        keeper.add(event(number))
    assert keeper.due() == [Batch(message.pk, 1, 2, data_of(1, 2))]


def test_a_batch_stays_as_it_is_until_it_is_written(message: Message) -> None:
    """The database may have it already, when only its answer was lost."""
    keeper = Keeper(message.pk)
    keeper.add(event(1))
    [first] = keeper.due()
    keeper.add(event(2))
    assert keeper.due() == [first]
    keeper.written()
    assert keeper.due() == [Batch(message.pk, 2, 2, data_of(2))]


def test_the_end_takes_along_what_is_not_written(message: Message) -> None:
    keeper = Keeper(message.pk)
    keeper.add(event(1))
    unsure = keeper.due()
    for number in (2, 3):
        keeper.add(event(number))
    end = [*unsure, Batch(message.pk, 2, 4, data_of(2, 3) + LAST.decode())]
    assert keeper.close(LAST) == end
    assert keeper.close(LAST) == end, "when it could not be stored, and is tried again"
    assert keeper.due() == [], "nothing overtakes the end"


def test_a_flood_is_many_batches(message: Message) -> None:
    keeper = Keeper(message.pk)
    sent = [event(number, "x" * (LARGEST // 3)) for number in range(1, 11)]
    for piece in sent:
        keeper.add(piece)
    batches = keeper.due()
    assert len(batches) > 2
    assert "".join(batch.data for batch in batches).encode() == b"".join(sent)
    assert [batches[0].first, batches[-1].last] == [1, 10]
    assert all(one.last + 1 == two.first for one, two in pairwise(batches))


@pytest.mark.parametrize(
    ("events", "ends"),
    [
        (data_of(1), False),
        (LAST.decode(), True),
        (data_of(1) + LAST.decode(), True),
        (LAST.decode() + data_of(5), False),
    ],
)
def test_the_last_event_is_known(events: str, ends: bool) -> None:
    assert is_last(events) is ends


# In the database


@pytest.fixture
def kept(message: Message) -> Message:
    """Four deltas and the end."""
    batches = [Batch(message.pk, 0, 1, data_of(0, 1)), Batch(message.pk, 2, 3, data_of(2, 3))]
    kept_events.write([*batches, Batch(message.pk, 4, 4, LAST.decode())])
    return message


@pytest.mark.parametrize("after", range(-1, 4))
def test_what_follows_a_number_is_read(kept: Message, after: int) -> None:
    found = kept_events.read(kept.pk, after)
    assert found == (data_of(*range(after + 1, 4)) + LAST.decode(), 4, True)


def test_nothing_follows_the_last(kept: Message) -> None:
    assert kept_events.read(kept.pk, 4) is None


def test_a_gap_is_waited_for(kept: Message) -> None:
    EventBatch.objects.filter(first=2).delete()
    assert kept_events.read(kept.pk, -1) == (data_of(0, 1), 1, False)
    assert kept_events.read(kept.pk, 1) is None


def test_a_long_turn_is_read_in_pieces(message: Message) -> None:
    kept_events.write([Batch(message.pk, number, number, data_of(number)) for number in range(20)])
    read, last = "", -1
    while found := kept_events.read(message.pk, last):
        assert found.last - last <= kept_events.ROWS
        read, last = read + found.data, found.last
    assert read == data_of(*range(20))


def test_what_is_written_twice_is_there_once(kept: Message) -> None:
    kept_events.write([Batch(kept.pk, 2, 3, data_of(2, 3))])
    assert EventBatch.objects.count() == 3


def test_events_of_a_deleted_message_are_dropped(kept: Message) -> None:
    Conversation.objects.all().delete()
    kept_events.write([Batch(kept.pk, 5, 5, data_of(5))])
    assert EventBatch.objects.count() == 0


@pytest.mark.parametrize(
    ("status", "newest", "deleted"),
    [
        (Status.COMPLETED, timedelta(minutes=61), 1),
        (Status.COMPLETED, timedelta(minutes=59), 0),  # its first events are older, but it ended later
        (Status.STREAMING, timedelta(minutes=61), 0),
    ],
)
def test_they_go_all_at_once_an_hour_after_the_end(
    kept: Message, status: Status, newest: timedelta, deleted: int
) -> None:
    Message.objects.update(status=status)
    EventBatch.objects.update(created_at=timezone.now() - timedelta(minutes=65))
    EventBatch.objects.filter(first=4).update(created_at=timezone.now() - newest)
    assert kept_events.delete_old() == deleted
    assert EventBatch.objects.count() == (0 if deleted else 3)


def test_a_command_deletes_them_too(kept: Message, capsys: pytest.CaptureFixture[str]) -> None:
    Message.objects.update(status=Status.COMPLETED)
    EventBatch.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    call_command("sweep_events")
    assert capsys.readouterr().out == "Deleted the events of 1 answers and the results of 0 requests.\n"
    assert EventBatch.objects.count() == 0
