"""The admin's list of conversations, and a conversation as a transcript."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chatproject.observability import sentry
from conversations.models import Conversation, Feedback, Message, MessageAttempt
from conversations.pictures import MAX_INLINE
from conversations.transcript import PAGE

LIST = "/admin/conversations/conversation/"
EVENT = "fc6d8c0c43fc4630ad850ee518f1b9d0"
TRACE = "a" * 32
HOSTILE = "</div><script>alert(1)</script>&amp;"

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    """Staff who may look at conversations and nothing else."""
    return staff("reader", "view_conversation")


def staff(name: str, *permissions: str) -> Client:
    user = User.objects.create(username=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def conversation(owner: User, **fields: Any) -> Conversation:
    return Conversation.objects.create(owner=owner, **{"provider": "local", "model": "small", **fields})


def answer(conversation: Conversation, **fields: Any) -> Message:
    return Message.objects.create(conversation=conversation, role="assistant", **{"content": "An answer.", **fields})


def page_of(client: Client, conversation: Conversation, **query: Any) -> str:
    response = client.get(reverse("admin:conversations_conversation_change", args=[conversation.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def titles(client: Client, **query: Any) -> list[str]:
    """The conversations in the list, as it shows them."""
    response = client.get(LIST, query)
    assert response.status_code == 200, response.headers
    return re.findall(r'<th class="field-__str__"><a[^>]*>([^<]*)</a>', response.content.decode())


def article(page: str, message: Message) -> str:
    """The message's own part of the page."""
    found = re.search(rf'<article class="[^"]*" id="{message.pk}">.*?</article>', page, re.DOTALL)
    assert found
    return found[0]


def queries(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        act()
    return [query["sql"] for query in captured]


# --- the list


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


# --- the transcript


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


def links(part: str) -> dict[str, str]:
    """The links into Sentry, by class."""
    return {kind: unescape(url) for kind, url in re.findall(r'<a class="(event|trace)" href="([^"]*)"', part)}


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


# --- tools, reasoning, images, attempts

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_it_shows_calls_and_their_results(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    calling = answer(made, content="", tool_calls=[CALL])
    result = Message.objects.create(conversation=made, role="tool", content="Sunny.\n  31 °C", tool_call_id="call_1")
    empty = Message.objects.create(conversation=made, role="tool", tool_call_id="call_2")
    page = page_of(admin_client, made)
    shown = article(page, calling)
    assert "Calls weather" in shown
    assert '<pre class="verbatim">{"city": "Rome"}</pre>' in unescape(shown)
    assert "<dt>Call</dt><dd><code>call_1</code></dd>" in shown
    assert "The answer is empty." not in shown
    shown = article(page, result)
    assert "<h3>Tool</h3>" in shown
    assert '<div class="verbatim">Sunny.\n  31 °C</div>' in shown
    assert "<dt>Call</dt><dd><code>call_1</code></dd>" in shown
    assert "The result is empty." in article(page, empty)


def test_it_shows_reasoning_folded(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    thought, plain = answer(made, reasoning="Hm.\n  Rome?"), answer(made)
    page = page_of(admin_client, made)
    folded = re.search(r"<details[^>]*>.*?</details>", article(page, thought), re.DOTALL)
    assert folded
    assert '<div class="verbatim">Hm.\n  Rome?</div>' in folded[0]
    assert " open" not in folded[0].split(">")[0]
    assert "<details" not in article(page, plain)


def test_it_shows_images_and_links_to_those_elsewhere(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    url = "https://example.com/cat.png?a=1&b=2"
    asked = Message.objects.create(conversation=made, role="user", parts=[picture(PNG), picture(url)])
    shown = article(page_of(admin_client, made), asked)
    assert re.findall(r'<img src="([^"]*)"', shown) == [PNG]
    links = re.findall(r'<a href="([^"]*)" target="_blank" rel="noopener noreferrer">([^<]*)</a>', shown)
    assert [(unescape(href), unescape(name)) for href, name in links] == [(url, url)]
    assert "empty" not in shown


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


def test_what_tools_and_reasoning_say_is_never_markup(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    call = {"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    failed = answer(made, reasoning=HOSTILE, tool_calls=[call])
    Message.objects.create(conversation=made, role="tool", content=HOSTILE, tool_call_id=HOSTILE)
    attempt(failed, 1, outcome="failed", provider="<b>x", model=HOSTILE, error_code="<script>")
    page = page_of(admin_client, made)
    assert "<script>" not in page
    assert unescape(page).count(HOSTILE) >= 7


def test_a_page_holds_so_many_images_and_says_what_it_leaves_out(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    large = PNG + "A" * (MAX_INLINE // 5 * 2)
    for count in (3, 1):
        parts = [picture(large)] * count + [picture("https://a.b/c")]
        Message.objects.create(conversation=made, role="user", parts=parts)
    page = page_of(admin_client, made)
    assert page.count("<img src=") == 2
    assert page.count('<a href="https://a.b/c"') == 2
    assert page.count("An image of 1,500 kB: more than this page takes.") == 2


def attempt(message: Message, number: int, **fields: Any) -> MessageAttempt:
    known = {"provider": "openai", "model": "big", "started_at": timezone.now(), "latency_ms": 1234}
    return MessageAttempt.objects.create(message=message, number=number, **{**known, **fields})


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


def test_an_estimate_says_so(admin_client: Client, owner: User) -> None:
    made = conversation(owner)
    guessed = answer(made, prompt_tokens=1200, completion_tokens=34, total_tokens=1234, usage_estimated=True)
    assert "<dd>about 1,234 (1,200 in, 34 out)</dd>" in article(page_of(admin_client, made), guessed)


# --- long conversations


def fill(conversation: Conversation, count: int) -> None:
    Message.objects.bulk_create(
        Message(conversation=conversation, role="user", content=f"number {number}.") for number in range(1, count + 1)
    )


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
    assert len(many) == len(few) <= 8, "\n".join(many)


# --- who may do what


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
    chosen = {"action": "delete_selected", "_selected_action": str(made.pk)}
    page = admin_client.post(LIST, chosen).content.decode()
    assert "<li>messages: 300</li>" in page.lower()
    assert "<li>feedback: 3</li>" in page.lower()
    assert page.count("<li>Rome</li>") == 1
    assert "user message" not in page.lower()
    admin_client.post(LIST, {**chosen, "post": "yes"})
    assert list(Conversation.objects.all()) == [kept]
    assert (Message.objects.count(), Feedback.objects.count()) == (2, 2)


def test_an_unknown_conversation_is_no_error(admin_client: Client) -> None:
    for unknown in ("0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3", "rubbish"):
        assert admin_client.get(f"{LIST}{unknown}/change/").status_code == 302
