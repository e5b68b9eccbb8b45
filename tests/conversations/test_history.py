"""How much of a conversation goes along: the newest that fits, in order."""

import pytest
from django.contrib.auth.models import User

from conversations import history
from conversations.models import Conversation, Message, Role, Status
from providers.base import ChatMessage


@pytest.fixture
def conversation(db: None) -> Conversation:
    owner = User.objects.create(username="owner")
    return Conversation.objects.create(owner=owner, provider="p", model="m")


def add(conversation: Conversation, role: Role, content: str, status: Status = Status.COMPLETED) -> None:
    Message.objects.create(conversation=conversation, role=role, content=content, status=status)


def said(*contents: str) -> list[ChatMessage]:
    return [{"role": "user", "content": content} for content in contents]


def contents(messages: list[ChatMessage]) -> list[str]:
    return [message["content"] for message in messages]


def test_it_keeps_the_newest_that_fit_oldest_first() -> None:
    cost = history.tokens_of("xxx")
    newest_first = said("ccc", "bbb", "aaa")
    assert contents(history.fit(newest_first, 3 * cost)) == ["aaa", "bbb", "ccc"]
    assert contents(history.fit(newest_first, 3 * cost - 1)) == ["bbb", "ccc"]
    assert contents(history.fit(newest_first, cost)) == ["ccc"]
    assert history.fit(newest_first, cost - 1) == []
    assert history.fit(newest_first, -100) == []


def test_it_leaves_no_hole_in_the_middle() -> None:
    budget = 3 * history.tokens_of("x")
    assert contents(history.fit(said("new", "long " * 100, "old"), budget)) == ["new"]


@pytest.mark.parametrize("text", ["", "The capital of France is Paris.", "Größe 🌍 漢字", "x" * 9000])
def test_a_token_is_at_most_three_bytes(text: str) -> None:
    assert history.tokens_of(text) >= len(text.encode()) / 3


def test_it_reads_the_conversation_in_order(conversation: Conversation) -> None:
    add(conversation, Role.USER, "one")
    add(conversation, Role.ASSISTANT, "two")
    assert history.window(conversation.pk, 1000) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
    ]


def test_partial_answers_go_along_but_silent_ones_do_not(conversation: Conversation) -> None:
    add(conversation, Role.USER, "one")
    add(conversation, Role.ASSISTANT, "par", Status.CANCELLED)
    add(conversation, Role.USER, "two")
    add(conversation, Role.ASSISTANT, "", Status.FAILED)
    add(conversation, Role.USER, "three")
    add(conversation, Role.ASSISTANT, "running", Status.STREAMING)
    assert contents(history.window(conversation.pk, 1000)) == ["one", "par", "two", "three"]


def test_another_conversation_stays_out(conversation: Conversation) -> None:
    other = Conversation.objects.create(owner=conversation.owner, provider="p", model="m")
    add(other, Role.USER, "other")
    add(conversation, Role.USER, "mine")
    assert contents(history.window(conversation.pk, 1000)) == ["mine"]


@pytest.mark.parametrize("count", [history.PAGE - 1, history.PAGE, history.PAGE + 1, 2 * history.PAGE])
def test_no_message_is_lost_between_two_pages(conversation: Conversation, count: int) -> None:
    for number in range(count):
        add(conversation, Role.USER, str(number))
    assert contents(history.window(conversation.pk, 100_000)) == [str(number) for number in range(count)]


def test_its_cost_does_not_grow_with_the_conversation(
    conversation: Conversation, django_assert_max_num_queries: object
) -> None:
    Message.objects.bulk_create(
        Message(conversation=conversation, role=Role.USER, content=str(number)) for number in range(1000)
    )
    with django_assert_max_num_queries(history.MAX_MESSAGES // history.PAGE):  # type: ignore[operator]
        window = history.window(conversation.pk, 10**9)
    assert contents(window) == [str(number) for number in range(1000 - history.MAX_MESSAGES, 1000)]
    with django_assert_max_num_queries(1):  # type: ignore[operator]
        assert contents(history.window(conversation.pk, 10)) == ["998", "999"]
