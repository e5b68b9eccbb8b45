"""The admin on conversations that their owners have deleted, archived, forked, and on answers that were made again."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from uuid_utils.compat import uuid7

from conversations.models import Conversation, ConversationTag
from tests.conversations.admin.pages import LIST, answer, article, conversation, page_of, staff, titles

pytestmark = pytest.mark.django_db


@pytest.fixture
def deleted(owner: User) -> Conversation:
    return conversation(owner, title="deleted", deleted_at=timezone.now())


def test_deleted_ones_are_marked(admin_client: Client, owner: User, deleted: Conversation) -> None:
    kept = conversation(owner, title="kept", archived=True, pinned=True)
    page = admin_client.get(LIST).content.decode()
    states = re.findall(r'<td class="field-state">(.*?)</td>', page)
    assert sorted(states) == ['<strong class="deleted">Deleted</strong>', "Archived, pinned"]
    assert "Its owner has deleted this conversation" in page_of(admin_client, deleted)
    assert "has deleted" not in page_of(admin_client, kept)


def test_they_are_a_filter(admin_client: Client, owner: User, deleted: Conversation) -> None:
    conversation(owner, title="kept")
    assert titles(admin_client, deleted="yes") == ["deleted"]
    assert titles(admin_client, deleted="no") == ["kept"]
    assert len(titles(admin_client)) == 2


def test_a_superuser_restores_them(admin_client: Client, owner: User, deleted: Conversation) -> None:
    kept = conversation(owner, title="kept")
    chosen = {"action": "restore", "_selected_action": [str(deleted.pk), str(kept.pk)]}
    staff("reader", "view_conversation").post(LIST, chosen)
    deleted.refresh_from_db()
    assert deleted.deleted_at is not None
    page = admin_client.post(LIST, chosen, follow=True).content.decode()
    assert "Restored 1 conversations." in page
    deleted.refresh_from_db()
    assert deleted.deleted_at is None


def test_a_superuser_deletes_them_for_good(admin_client: Client, deleted: Conversation) -> None:
    chosen = {"action": "delete_selected", "_selected_action": str(deleted.pk), "post": "yes"}
    admin_client.post(LIST, chosen)
    assert not Conversation.objects.exists()


def test_a_transcript_tells_where_a_fork_comes_from(admin_client: Client, owner: User) -> None:
    origin = conversation(owner, title="origin")
    fork = conversation(owner, title="fork", forked_from=origin, parameters={"temperature": 0.5})
    ConversationTag.objects.create(conversation=fork, name="<work>")
    copied = answer(fork, copied_from=uuid7())
    page = page_of(admin_client, fork)
    assert f'href="{LIST}{origin.pk}/change/"' in page
    assert str(copied.copied_from) in article(page, copied)
    assert "<dd>&lt;work&gt;</dd>" in page
    assert "<dd>temperature 0.5</dd>" in page
    assert "Fork of" not in page_of(admin_client, origin)


def test_a_superseded_answer_leads_to_the_one_in_its_place(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    new = answer(made, content="New.")
    old = answer(made, content="Old.", superseded_by=new.pk)
    page = page_of(admin_client, made)
    assert f'Superseded by <a href="#{new.pk}">' in page
    assert f'class="message assistant completed superseded" id="{old.pk}"' in page
    assert "Superseded" not in article(page, new)
