"""The admin's lists of many rows: the first of them are counted and shown, and the list says so."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chatproject import long_lists
from tests.conversations.admin.pages import LIST, conversation

pytestmark = pytest.mark.django_db

CUT = "Only the first 60 are counted and shown"


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "MOST", 60)


def fill(owner: User, count: int) -> None:
    for _ in range(count):
        conversation(owner)


def test_a_list_with_more_rows_says_that_it_ends_early(admin_client: Client, owner: User) -> None:
    fill(owner, 61)
    page = admin_client.get(LIST).content.decode()
    assert CUT in page
    assert "60 conversations" in page
    assert admin_client.get(LIST, {"p": 2}).content.decode().count('class="field-__str__"') == 10


def test_a_list_with_as_many_rows_does_not(admin_client: Client, owner: User) -> None:
    fill(owner, 60)
    page = admin_client.get(LIST).content.decode()
    assert CUT not in page
    assert "60 conversations" in page
