"""Who may read and delete conversations in the admin, and what goes along."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conversations.models import Conversation, Feedback, Message, MessageAttempt
from tests.conversations.admin.pages import LIST, answer, attempt, conversation, fill, page_of, staff, titles

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    """Staff who may look at conversations and nothing else."""
    return staff("reader", "view_conversation")


def test_a_user_who_may_only_view_can_read_it(reader: Client, owner: User) -> None:
    made = conversation(owner, title="Rome")
    answer(made, content="Rome.")
    assert titles(reader) == ["Rome"]
    page = page_of(reader, made)
    assert '<div class="verbatim">Rome.</div>' in page
    assert 'name="_save"' not in page
    assert "deletelink" not in page


def test_nobody_without_the_permission_can_read_it(owner: User) -> None:
    made = conversation(owner)
    outsider = staff("outsider", "view_apikey")
    assert outsider.get(LIST).status_code == 403
    assert outsider.get(f"{LIST}{made.pk}/change/").status_code == 403
    anonymous = Client().get(f"{LIST}{made.pk}/change/")
    assert anonymous.status_code == 302
    assert anonymous.headers["Location"].startswith("/admin/login/")


def test_not_even_a_superuser_can_add_or_change_one(admin_client: Client, owner: User) -> None:
    made = conversation(owner, title="as it was")
    fields = {"title": "changed", "owner": owner.pk, "provider": "local", "model": "small", "metadata": "{}"}
    assert admin_client.post(f"{LIST}{made.pk}/change/", fields).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}add/", fields).status_code == 403
    page = page_of(admin_client, made)
    assert 'name="_save"' not in page
    assert not re.search(r'<(input|textarea|select)[^>]* name="(title|owner|metadata)"', page)
    made.refresh_from_db()
    assert made.title == "as it was"
    assert Conversation.objects.count() == 1


def test_only_a_superuser_can_delete(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    deleter = staff("deleter", "view_conversation", "delete_conversation", "delete_message")
    chosen = {"action": "delete_selected", "_selected_action": str(made.pk), "post": "yes"}
    assert deleter.post(f"{LIST}{made.pk}/delete/", {"post": "yes"}).status_code == 403
    deleter.post(LIST, chosen)
    assert Conversation.objects.filter(pk=made.pk).exists()
    admin_client.post(LIST, chosen)
    assert not Conversation.objects.filter(pk=made.pk).exists()


def test_deleting_tells_how_many_messages_go_along_without_listing_them(admin_client: Client, owner: User) -> None:
    made, kept = conversation(owner, title="Rome"), conversation(owner, title="kept")
    fill(made, 300)
    fill(kept, 2)
    for message in (*made.messages.all()[:3], *kept.messages.all()):
        Feedback.objects.create(message=message, user=owner, rating="up")
        for number in (1, 2):
            attempt(message, number, outcome="failed")
    chosen = {"action": "delete_selected", "_selected_action": str(made.pk)}
    page = admin_client.post(LIST, chosen).content.decode()
    assert "<li>messages: 300</li>" in page.lower()
    assert "<li>attempts: 6</li>" in page.lower()
    assert "<li>feedback: 3</li>" in page.lower()
    assert page.count("<li>Rome</li>") == 1
    assert "user message" not in page.lower()
    admin_client.post(LIST, {**chosen, "post": "yes"})
    assert list(Conversation.objects.all()) == [kept]
    assert (Message.objects.count(), MessageAttempt.objects.count(), Feedback.objects.count()) == (2, 4, 2)
