"""What people and models write never becomes a part of the admin's pages."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from conversations.models import Feedback, Message
from tests.conversations.admin.pages import HOSTILE, LIST, answer, article, attempt, conversation, page_of, picture

pytestmark = pytest.mark.django_db


def test_what_people_and_models_write_is_never_markup(admin_client: Client, owner: User, settings: Settings) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/{event_id}"
    made = conversation(
        owner, title=HOSTILE, provider="<b>x", model=HOSTILE, system_prompt=HOSTILE, metadata={HOSTILE: [HOSTILE]}
    )
    hostile = {"content": HOSTILE, "model": HOSTILE, "finish_reason": '"><script>', "request_id": "<script>"}
    Message.objects.create(conversation=made, role="user", content=HOSTILE)
    rated = answer(made, **hostile)
    Feedback.objects.create(message=rated, user=owner, rating="down", comment=HOSTILE)
    answer(made, **hostile, status="failed", error_code="<script>", sentry_event_id='"><script>')
    addresses = (
        reverse("admin:conversations_conversation_change", args=[made.pk]),
        reverse("admin:conversations_conversation_delete", args=[made.pk]),
        LIST,
    )
    for address in addresses:
        page = admin_client.get(address).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>" not in page  # the admin's own have attributes
    # Shown as it was written, the entity in it included.
    assert unescape(page_of(admin_client, made)).count(HOSTILE) >= 7


def test_what_tools_and_reasoning_say_is_never_markup(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    call = {"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    failed = answer(made, reasoning=HOSTILE, tool_calls=[call])
    Message.objects.create(conversation=made, role="tool", content=HOSTILE, tool_call_id=HOSTILE)
    attempt(failed, 1, outcome="failed", provider="<b>x", model=HOSTILE, error_code="<script>")
    page = page_of(admin_client, made)
    assert "<script>" not in page
    assert unescape(page).count(HOSTILE) >= 7


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://example.com/a.png",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml;base64,PHN2Zz4=",
        " https://example.com/a.png",
        "//example.com/a.png",
        "",
    ],
)
def test_no_address_of_another_kind_gets_into_the_page(admin_client: Client, owner: User, url: str) -> None:
    """Not even one that got into the database past the API."""
    made = conversation(owner)
    asked = Message.objects.create(conversation=made, role="user", parts=[picture(url)])
    shown = article(page_of(admin_client, made), asked)
    assert not re.search(r"(src|href)=", shown)
    assert "An image whose address is of no known kind." in shown


@pytest.mark.parametrize("start", ["https://example.com/", "data:image/png;base64,"])
def test_an_address_cannot_leave_its_attribute(admin_client: Client, owner: User, start: str) -> None:
    made = conversation(owner)
    Message.objects.create(conversation=made, role="user", parts=[picture(f'{start}"><script>alert(1)</script>')])
    page = page_of(admin_client, made)
    assert "<script>" not in page
    assert f"{start}&quot;&gt;&lt;script&gt;" in page
