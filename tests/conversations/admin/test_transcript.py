"""A conversation in the admin, as a transcript."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from conversations.models import Feedback, Message
from tests.conversations.admin.pages import LIST, answer, article, attempt, conversation, page_of

pytestmark = pytest.mark.django_db


def test_it_shows_a_turn_with_its_usage_cost_and_times(admin_client: Client, owner: User) -> None:
    made = conversation(owner, title="Rome", provider="openai", model="big")
    asked = Message.objects.create(conversation=made, role="user", content="What is the\n  capital of Italy?")
    answered = answer(
        made,
        content="Rome.",
        provider="openai",
        model="big-2",
        prompt_tokens=1200,
        completion_tokens=34,
        total_tokens=1234,
        cost_usd=Decimal("0.00001200"),
        ttft_ms=143,
        latency_ms=2318,
        finish_reason="stop",
        request_id="request-1",
        trace_id="a" * 32,
    )
    page = page_of(admin_client, made)
    assert page.index(str(asked.pk)) < page.index(str(answered.pk))
    assert "<h3>User</h3>" in article(page, asked)
    assert '<div class="verbatim">What is the\n  capital of Italy?</div>' in article(page, asked)
    shown = article(page, answered)
    assert "<h3>Assistant</h3>" in shown
    assert "Completed" in shown
    assert answered.created_at.strftime("%Y-%m-%d %H:%M:%S UTC") in shown
    for label, value in {
        "Provider": "openai",
        "Model": "big-2",
        "Tokens": "1,234 (1,200 in, 34 out)",
        "Cost": "$0.000012",
        "First token": "143 ms",
        "Latency": "2,318 ms",
        "Finish reason": "stop",
        "Request": "<code>request-1</code>",
        "Trace": f"<code>{'a' * 32}</code>",
    }.items():
        assert f"<dt>{label}</dt><dd>{value}</dd>" in shown


def test_it_leaves_out_what_is_not_known(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    bare = answer(made)
    shown = article(page_of(admin_client, made), bare)
    assert "<dt>" not in shown
    assert "None" not in shown


def test_it_shows_the_conversation_with_its_totals(admin_client: Client, owner: User) -> None:
    made = conversation(
        owner,
        title="Rome",
        system_prompt="Be brief.\nBe kind.",
        metadata={"ticket": "A-17"},
        message_count=2,
        token_count=4321,
        failure_count=1,
        cost_usd=Decimal("0.01200000"),
    )
    page = page_of(admin_client, made)
    for label, value in {
        "Owner": "owner",
        "Provider": "local",
        "Model": "small",
        "Messages": "2",
        "Tokens": "4,321",
        "Failures": "1",
        "Cost": "$0.012",
        "Id": str(made.pk),
    }.items():
        assert f"<dt>{label}</dt><dd>{value}</dd>" in page
    assert '<div class="verbatim">Be brief.\nBe kind.</div>' in page
    assert '"ticket": "A-17"' in unescape(page)


def test_it_says_that_no_price_is_known(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    answer(made)
    assert "<dt>Cost</dt><dd>No price is known</dd>" in page_of(admin_client, made)


def test_a_free_answer_costs_nothing(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    free = answer(made, cost_usd=Decimal("0"))
    assert "<dt>Cost</dt><dd>$0</dd>" in article(page_of(admin_client, made), free)


def test_an_estimate_says_so(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    guessed = answer(made, prompt_tokens=1200, completion_tokens=34, total_tokens=1234, usage_estimated=True)
    assert "<dd>about 1,234 (1,200 in, 34 out)</dd>" in article(page_of(admin_client, made), guessed)


def test_it_shows_the_attempts_at_an_answer_that_was_not_simply_given(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    simple, second, failed = answer(made), answer(made), answer(made, status="failed")
    attempt(simple, 1, outcome="completed")
    attempt(second, 2, outcome="completed", provider="groq", model="fast", ttft_ms=7)
    attempt(second, 1, outcome="failed", error_code="rate_limited", provider_status=429)
    attempt(failed, 1, outcome="skipped", error_code="circuit_open", latency_ms=0)
    page = page_of(admin_client, made)
    assert "<table" not in article(page, simple)
    rows = re.findall(r"<tr class=.*?</tr>", article(page, second), re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    assert cells == [
        ["openai", "big", "Failed", "rate_limited", "429", "", "1234 ms"],
        ["groq", "fast", "Completed", "", "", "7 ms", "1234 ms"],
    ]
    assert "<td>Skipped: the circuit is open</td><td>circuit_open</td>" in article(page, failed)


def test_it_shows_what_the_user_thinks_of_an_answer_below_it(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    liked, disliked, neither = answer(made), answer(made), answer(made)
    Feedback.objects.create(message=liked, user=owner, rating="up")
    given = Feedback.objects.create(message=disliked, user=owner, rating="down", comment="Not\n  Rome.")
    page = page_of(admin_client, made)
    assert "Rated up by owner" in article(page, liked)
    shown = article(page, disliked)
    assert "Rated down by owner" in shown
    assert given.updated_at.strftime("%Y-%m-%d %H:%M:%S UTC") in shown
    assert '<div class="verbatim">Not\n  Rome.</div>' in shown
    assert "Rated" not in article(page, neither)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("failed", "No text: it failed before its text began."),
        ("cancelled", "No text: the client left, or cancelled it, before its text began."),
        ("interrupted", "No text: the server stopped before its text began."),
        ("streaming", "No text yet."),
        ("completed", "The answer is empty."),
    ],
)
def test_an_answer_without_text_says_so(admin_client: Client, owner: User, status: str, words: str) -> None:
    made = conversation(owner)
    empty = answer(made, content="", status=status)
    assert words in article(page_of(admin_client, made), empty)


def test_a_turn_whose_process_died_is_not_shown_as_running(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    message = answer(made, status="streaming", lease_until=timezone.now() + timedelta(minutes=1))
    assert "Streaming" in article(page_of(admin_client, made), message)
    Message.objects.filter(pk=message.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    shown = article(page_of(admin_client, made), message)
    assert "Abandoned" in shown
    assert "Streaming" not in shown


def test_a_conversation_without_messages_says_so(admin_client: Client, owner: User) -> None:
    assert "No messages yet." in page_of(admin_client, conversation(owner))


def test_an_unknown_conversation_is_no_error(admin_client: Client) -> None:
    for unknown in ("0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3", "rubbish"):
        assert admin_client.get(f"{LIST}{unknown}/change/").status_code == 302
