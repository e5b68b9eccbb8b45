"""The transcript of a long conversation, in pages."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conversations.models import Feedback
from conversations.transcript import PAGE
from tests.conversations.admin.pages import attempt, conversation, fill, page_of, queries

pytestmark = pytest.mark.django_db


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<div class="verbatim">number (\d+)\.', page)]


def test_a_long_conversation_opens_at_its_newest_page(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    fill(made, 3 * PAGE)
    page = page_of(admin_client, made)
    assert numbers(page) == list(range(2 * PAGE + 1, 3 * PAGE + 1))
    assert f"Messages {2 * PAGE + 1} to {3 * PAGE} of {3 * PAGE}" in page
    assert 'href="?page=2" rel="prev"' in page
    assert 'rel="next"' not in page


def test_every_message_of_a_long_conversation_is_on_one_of_its_pages(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    fill(made, 2 * PAGE + 30)
    pages = [numbers(page_of(admin_client, made, page=number)) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [PAGE, PAGE, 30]
    assert [number for page in pages for number in page] == list(range(1, 2 * PAGE + 31))


def test_the_newest_page_is_never_down_to_a_few_messages(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    fill(made, PAGE + 2)
    page = page_of(admin_client, made)
    assert numbers(page) == list(range(1, PAGE + 3))
    assert 'rel="prev"' not in page


@pytest.mark.parametrize("number", ["0", "-1", "999", "rubbish", "1' OR 1=1", ""])
def test_a_page_that_is_not_there_is_no_error(admin_client: Client, owner: User, number: str) -> None:
    made = conversation(owner)
    fill(made, 2 * PAGE)
    assert len(numbers(page_of(admin_client, made, page=number))) == PAGE


def test_a_transcript_asks_the_database_as_often_however_long_it_is(admin_client: Client, owner: User) -> None:
    short, long = conversation(owner, title="short"), conversation(owner, title="long")
    for made, count in ((short, 2), (long, 5 * PAGE)):
        fill(made, count)
        for message in made.messages.order_by("-pk")[:count]:
            Feedback.objects.create(message=message, user=owner, rating="up")
            attempt(message, 1, outcome="failed")
    few, many = (queries(lambda c=c: page_of(admin_client, c)) for c in (short, long))
    assert len(many) == len(few) <= 9, "\n".join(many)
