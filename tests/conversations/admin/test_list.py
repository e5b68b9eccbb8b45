"""The admin's list of conversations."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from conversations.models import Conversation, Feedback
from tests.conversations.admin.pages import EVENT, LIST, answer, conversation, queries, titles

pytestmark = pytest.mark.django_db


def test_it_lists_the_newest_activity_first(admin_client: Client, owner: User) -> None:
    for title, hours in (("second", 2), ("first", 0), ("third", 3), ("fourth", 4)):
        made = conversation(owner, title=title)
        active = timezone.now() - timedelta(hours=hours)
        Conversation.objects.filter(pk=made.pk).update(last_activity_at=active)
    assert titles(admin_client) == ["first", "second", "third", "fourth"]


def test_it_lists_the_counters_of_the_conversation(admin_client: Client, owner: User) -> None:
    conversation(owner, title="counted", message_count=41, token_count=1234567, failure_count=3)
    page = admin_client.get(LIST).content.decode()
    cells = dict(re.findall(r'<td class="field-(\w+)[^"]*">(.*?)</td>', page))
    assert cells["owner"] == "owner"
    assert cells["message_count"] == "41"
    assert cells["token_count"] == "1234567"
    assert cells["failures"] == '<strong class="failures">3</strong>'
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", cells["activity"])


def test_an_untitled_conversation_can_still_be_opened(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    assert titles(admin_client) == [f"Conversation {made.pk}"]


def test_the_list_asks_the_database_as_often_for_50_conversations_as_for_5(admin_client: Client) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            made = conversation(User.objects.create(username=f"user{number}"), title=f"number {number}")
            answer(made)

    fill(range(5))
    few = queries(lambda: admin_client.get(LIST))
    fill(range(5, 50))
    many = queries(lambda: admin_client.get(LIST))
    assert len(titles(admin_client)) == 50
    assert len(many) == len(few) <= 6, "\n".join(many)
    assert not [sql for sql in many if "conversations_message" in sql]


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted", "streaming"])
def test_it_filters_by_outcome(admin_client: Client, owner: User, status: str) -> None:
    with_it = conversation(owner, title="with it")
    answer(with_it, status=status)
    answer(with_it, status="completed")
    if status != "streaming":  # of which there is one at most
        answer(with_it, status=status)
    answer(conversation(owner, title="without"), status="completed")
    conversation(owner, title="empty")
    assert titles(admin_client, status=status) == ["with it"]
    assert f"?status={status}" in admin_client.get(LIST).content.decode()


def test_it_filters_by_feedback(admin_client: Client, owner: User) -> None:
    for title, rating in (("disliked", "down"), ("liked", "up"), ("unrated", "")):
        made = conversation(owner, title=title)
        for message in (answer(made), answer(made)):
            if rating:
                Feedback.objects.create(message=message, user=owner, rating=rating)
    assert titles(admin_client, feedback="down") == ["disliked"]
    assert titles(admin_client, feedback="up") == ["liked"]
    assert len(titles(admin_client)) == 3
    page = admin_client.get(LIST).content.decode()
    assert re.search(r'<a href="\?feedback=down"[^>]*>\s*With negative feedback', page)


def test_it_filters_by_provider(admin_client: Client, owner: User) -> None:
    conversation(owner, title="here", provider="local")
    conversation(owner, title="there", provider="openai")
    assert titles(admin_client, provider="openai") == ["there"]


def test_it_filters_by_the_date_of_the_last_activity(admin_client: Client, owner: User) -> None:
    conversation(owner, title="today")
    old = conversation(owner, title="last month")
    Conversation.objects.filter(pk=old.pk).update(last_activity_at=timezone.now() - timedelta(days=40))
    since = (timezone.now() - timedelta(days=7)).isoformat()
    assert titles(admin_client, last_activity_at__gte=since) == ["today"]


@pytest.mark.parametrize("term", ["umbrella", "UMBRELLA", "red umbrella", '"my red umbrella"'])
def test_it_finds_a_conversation_once_by_the_text_of_its_messages(admin_client: Client, owner: User, term: str) -> None:
    found = conversation(owner, title="found")
    for _ in range(3):
        answer(found, content="Where is my red umbrella?")
    answer(conversation(owner, title="other"), content="Nothing of that kind, but red.")
    assert titles(admin_client, q=term) == ["found"]


def test_it_finds_a_conversation_by_its_title(admin_client: Client, owner: User) -> None:
    conversation(owner, title="Weather in Rome")
    conversation(owner, title="Weather in Paris")
    assert titles(admin_client, q="rome") == ["Weather in Rome"]


def test_it_finds_a_conversation_by_the_ids_that_an_error_names(admin_client: Client, owner: User) -> None:
    found = conversation(owner, title="found")
    failed = answer(found, request_id="my-request", trace_id="a" * 32, sentry_event_id=EVENT, status="failed")
    answer(conversation(owner, title="other"), request_id="my-request-2", trace_id="b" * 32)
    for term in (str(found.pk), failed.request_id, failed.trace_id, EVENT):
        assert titles(admin_client, q=term) == ["found"], term


def test_it_finds_the_conversations_of_a_user(admin_client: Client, owner: User) -> None:
    conversation(owner, title="mine")
    conversation(User.objects.create(username="owner2"), title="not mine")
    assert titles(admin_client, q="owner") == ["mine"]
