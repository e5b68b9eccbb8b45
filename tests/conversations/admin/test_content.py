"""What else than text is in a transcript: tool calls, reasoning, images."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conversations.models import Message
from conversations.pictures import MAX_INLINE
from tests.conversations.admin.pages import PNG, answer, article, conversation, page_of, picture

pytestmark = pytest.mark.django_db


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


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
