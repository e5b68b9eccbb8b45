"""The links from a transcript into Sentry."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from chatproject.observability import sentry
from conversations.models import Message
from tests.conversations.admin.pages import EVENT, answer, article, conversation, page_of

pytestmark = pytest.mark.django_db


TRACE = "a" * 32


def links(part: str) -> dict[str, str]:
    """The links into Sentry, by class."""
    return {kind: unescape(url) for kind, url in re.findall(r'<a class="(event|trace)" href="([^"]*)"', part)}


def test_a_failed_message_stands_out_and_links_to_its_event(
    admin_client: Client, owner: User, settings: Settings
) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/{org}/?query={event_id}"
    made = conversation(owner)
    failed = answer(made, status="failed", error_code="rate_limited", sentry_event_id=EVENT, request_id="request-1")
    shown = article(page_of(admin_client, made), failed)
    assert 'class="message assistant failed"' in shown
    assert "rate_limited" in shown
    link = re.search(r'<a class="event" href="([^"]*)"[^>]*>Open in Sentry</a>', shown)
    assert link
    assert unescape(link[1]) == f"https://sentry.example.com/{{org}}/?query={EVENT}"
    assert f"<code>{EVENT}</code>" in shown
    assert "<code>request-1</code>" in shown


def test_without_an_address_of_sentry_it_shows_the_bare_event_id(
    admin_client: Client, owner: User, settings: Settings
) -> None:
    settings.SENTRY_EVENT_URL = ""
    made = conversation(owner)
    failed = answer(made, status="failed", error_code="timeout", sentry_event_id=EVENT)
    shown = article(page_of(admin_client, made), failed)
    assert f"<code>{EVENT}</code>" in shown
    assert "<a " not in shown


def test_without_an_event_there_is_no_link(admin_client: Client, owner: User, settings: Settings) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/{event_id}"
    made = conversation(owner)
    failed = answer(made, status="failed", error_code="timeout")
    assert "sentry" not in article(page_of(admin_client, made), failed).lower()


def test_every_answer_with_a_trace_links_to_it(admin_client: Client, owner: User, settings: Settings) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/{event_id}"
    settings.SENTRY_TRACE_URL = "https://sentry.example.com/{org}/?a=1&trace={trace_id}"
    made = conversation(owner)
    asked = Message.objects.create(conversation=made, role="user", content="Rome?", trace_id=TRACE)
    completed = answer(made, trace_id=TRACE)
    failed = answer(made, trace_id="b" * 32, status="failed", sentry_event_id=EVENT)
    without = answer(made)
    page = page_of(admin_client, made)
    trace = "https://sentry.example.com/{org}/?a=1&trace="
    assert links(article(page, completed)) == {"trace": trace + TRACE}
    assert links(article(page, failed)) == {
        "event": f"https://sentry.example.com/{EVENT}",
        "trace": trace + "b" * 32,
    }
    assert links(article(page, without)) == links(article(page, asked)) == {}


def test_without_an_address_of_traces_there_is_no_link_to_one(
    admin_client: Client, owner: User, settings: Settings
) -> None:
    settings.SENTRY_TRACE_URL = ""
    made = conversation(owner)
    answered = answer(made, trace_id=TRACE)
    shown = article(page_of(admin_client, made), answered)
    assert f"<code>{TRACE}</code>" in shown
    assert "<a " not in shown


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("https://key@o123.ingest.de.sentry.io/456", "https://sentry.io/explore/traces/trace/{trace_id}/"),
        ("https://key@sentry.example.com/7", ""),
        ("", ""),
    ],
)
def test_only_the_pages_of_sentry_io_are_known(dsn: str, url: str) -> None:
    assert sentry.default_trace_url(dsn) == url
