"""How much of a conversation goes along: the newest that fits, in order, in a form that every provider accepts."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import history
from conversations.content import MAX_IMAGES
from conversations.models import Conversation, Message, Role, Status
from providers.base import ChatMessage, Part

DATA = "data:image/png;base64," + "A" * 30_000


@pytest.fixture
def conversation(owner: User) -> Conversation:
    return Conversation.objects.create(owner=owner, provider="p", model="m")


def add(conversation: Conversation, role: Role, content: str, status: Status = Status.COMPLETED, **fields: Any) -> None:
    Message.objects.create(conversation=conversation, role=role, content=content, status=status, **fields)


def user(content: str | list[Part]) -> ChatMessage:
    return {"role": "user", "content": content}


def assistant(content: str) -> ChatMessage:
    return {"role": "assistant", "content": content}


def call(name: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def calls(*names: str, text: str | None = None) -> ChatMessage:
    return {"role": "assistant", "content": text, "tool_calls": [call(name) for name in names]}


def result(name: str, content: str = "sunny") -> ChatMessage:
    return {"role": "tool", "content": content, "tool_call_id": name}


def text(content: str) -> Part:
    return {"type": "text", "text": content}


def image(url: str = "https://example.com/cat.png") -> Part:
    return {"type": "image_url", "image_url": {"url": url}}


def size(*messages: ChatMessage) -> int:
    return sum(map(history.size_of, messages))


def window(conversation: Conversation, *new: ChatMessage, budget: int = 100_000, images: bool = True) -> Any:
    return history.window(conversation.pk, list(new) or [user("new")], budget, provider="fake", images=images)


def contents(messages: list[ChatMessage]) -> list[Any]:
    return [message["content"] for message in messages]


# --- what fits


def test_it_keeps_the_newest_exchanges_that_fit_oldest_first() -> None:
    asked = [user("aaa"), assistant("bbb"), user("ccc"), assistant("ddd"), user("eee")]
    assert history.fit(asked, size(*asked)) == asked
    assert history.fit(asked, size(*asked) - 1) == asked[2:]
    assert history.fit(asked, size(*asked[2:])) == asked[2:]
    assert history.fit(asked, size(*asked[2:]) - 1) == asked[4:]


@pytest.mark.parametrize("budget", [0, -100])
def test_the_newest_message_goes_along_even_when_it_does_not_fit(budget: int) -> None:
    assert contents(history.fit([user("one"), assistant("two"), user("three")], budget)) == ["three"]


def test_it_leaves_no_hole_in_the_middle() -> None:
    asked = [user("old"), assistant("x"), user("long " * 100), assistant("y"), user("new")]
    assert contents(history.fit(asked, size(asked[0], *asked[3:]))) == ["new"]


def test_it_never_begins_with_an_answer() -> None:
    asked = [user("long " * 100), assistant("short"), user("new")]
    assert contents(history.fit(asked, size(*asked[1:]))) == ["new"]


@pytest.mark.parametrize("content", ["", "The capital of France is Paris.", "Größe 🌍 漢字", "x" * 9000])
def test_a_token_is_at_most_three_bytes(content: str) -> None:
    assert history.size_of(user(content)) >= len(content.encode()) / 3


def test_an_image_counts_the_same_however_many_bytes_it_has() -> None:
    small, large = user([text("What?"), image()]), user([text("What?"), image(DATA)])
    assert size(small) == size(large) == size(user("What?")) + 1_000


def test_tool_calls_count_by_their_text() -> None:
    long = calls("a")
    long["tool_calls"][0]["function"]["arguments"] = "x" * 3_000
    assert size(long) > size(calls("a")) + 900


# --- questions in a row


def test_questions_without_answers_become_one_with_the_next() -> None:
    asked = [user("one"), user("two"), assistant("three"), user("four"), user("five")]
    assert contents(history.fit(asked, 1000)) == ["one\n\ntwo", "three", "four\n\nfive"]


def test_questions_with_images_become_one_list_of_parts() -> None:
    asked = [user([text("one"), image()]), user("two"), user([image("https://example.com/dog.png")])]
    [merged] = history.fit(asked, 10_000)
    assert merged["content"] == [text("one"), image(), text("two"), image("https://example.com/dog.png")]


def test_a_question_that_was_too_long_to_be_answered_does_not_stay_in_the_way() -> None:
    assert contents(history.fit([user("long " * 1000), user("short")], 100)) == ["short"]


# --- calls and results

ROUND = [user("Weather?"), calls("a", "b"), result("a"), result("b", "rain")]


def test_results_follow_their_calls_in_the_order_of_the_calls() -> None:
    asked = [ROUND[0], ROUND[1], ROUND[3], ROUND[2], assistant("Mixed."), user("Thanks.")]
    assert history.fit(asked, 1000) == [*ROUND, assistant("Mixed."), user("Thanks.")]


@pytest.mark.parametrize("results", [[], [result("a")], [result("b"), result("c")]])
def test_calls_that_nobody_has_answered_are_dropped_and_their_text_kept(results: list[ChatMessage]) -> None:
    asked = [user("Weather?"), calls("a", "b", text="Let me see."), *results, user("Never mind.")]
    assert history.fit(asked, 1000) == [user("Weather?"), assistant("Let me see."), user("Never mind.")]


def test_an_answer_of_nothing_but_unanswered_calls_is_dropped() -> None:
    assert contents(history.fit([user("Weather?"), calls("a"), user("Never mind.")], 1000)) == [
        "Weather?\n\nNever mind."
    ]


def test_results_without_a_call_are_dropped() -> None:
    asked = [user("one"), result("x"), assistant("two"), result("y"), user("three")]
    assert contents(history.fit(asked, 1000)) == ["one", "two", "three"]


def test_calls_and_results_are_never_parted() -> None:
    asked = [*ROUND, assistant("Mixed."), user("Thanks.")]
    for budget in range(size(*asked) + 1):
        kept = history.fit(asked, budget)
        assert kept in (asked, asked[-1:])


def test_a_question_stays_with_the_newest_of_many_calls() -> None:
    """A chain of calls that has outgrown the budget loses its middle, never its question."""
    rounds = [message for n in range(20) for message in (calls(f"c{n}"), result(f"c{n}"))]
    asked = [user("Old."), assistant("Yes."), user("Plan a trip."), *rounds]
    for budget in range(0, size(*asked) + 50, 7):
        question, *rest = history.fit(asked, budget)
        if question["content"] == "Old.":
            assert [question, *rest] == asked
            continue
        assert question["content"] == "Plan a trip."
        assert rest == rounds[-len(rest) :]
        assert len(rest) % 2 == 0
        assert size(question, *rest) <= budget or len(rest) == 2


def test_what_the_user_says_to_the_results_stays_with_them() -> None:
    asked = [*ROUND, user("In one word, please.")]
    assert history.fit(asked, 0) == asked


# --- refit and without_images: of a prompt that is there already


def test_a_prompt_is_cut_to_a_smaller_budget_by_the_same_rules() -> None:
    system: ChatMessage = {"role": "system", "content": "Be brief."}
    asked = [user("one"), assistant("two"), *ROUND, assistant("three"), user("four")]
    prompt = [system, *asked]
    assert history.refit(prompt, size(*prompt)) == prompt
    assert history.refit(prompt, size(*prompt) - 1) == [system, *asked[2:]]
    assert history.refit(prompt, 0) == [system, user("four")]
    assert prompt == [system, *asked], "it is not changed"


def test_a_prompt_that_is_cut_again_stays_the_same() -> None:
    asked = [user("one"), user("two"), assistant("three"), *ROUND, user("four"), user("five")]
    for budget in range(0, size(*asked) + 50, 3):
        once = history.refit(asked, budget)
        assert history.refit(once, max(budget, size(*once))) == once


def test_a_provider_without_images_gets_a_text_for_each() -> None:
    prompt = [user([text("What is"), image(DATA), text("this?")]), calls("a"), result("a")]
    assert history.without_images(prompt) == [user("What is\n[image]\nthis?"), calls("a"), result("a")]
    assert prompt[0]["content"] == [text("What is"), image(DATA), text("this?")], "it is not changed"


# --- from the database


def test_it_reads_the_conversation_in_order(conversation: Conversation) -> None:
    add(conversation, Role.USER, "one")
    add(conversation, Role.ASSISTANT, "two")
    assert window(conversation) == [user("one"), assistant("two"), user("new")]


def test_a_conversation_yet_to_be_made_has_no_past() -> None:
    assert history.window(None, [user("new")], 10, provider="fake", images=True) == [user("new")]


def test_partial_answers_go_along_but_silent_ones_do_not(conversation: Conversation) -> None:
    add(conversation, Role.USER, "one")
    add(conversation, Role.ASSISTANT, "par", Status.CANCELLED)
    add(conversation, Role.USER, "two")
    add(conversation, Role.ASSISTANT, "", Status.FAILED, reasoning="Hm.")
    add(conversation, Role.USER, "three")
    add(conversation, Role.ASSISTANT, "running", Status.STREAMING)
    assert contents(window(conversation)) == ["one", "par", "two\n\nthree\n\nnew"]


def test_another_conversation_stays_out(conversation: Conversation) -> None:
    other = Conversation.objects.create(owner=conversation.owner, provider="p", model="m")
    add(other, Role.USER, "other")
    add(other, Role.ASSISTANT, "other")
    add(conversation, Role.USER, "mine")
    add(conversation, Role.ASSISTANT, "mine too")
    assert contents(window(conversation)) == ["mine", "mine too", "new"]


def test_it_reads_calls_and_results(conversation: Conversation) -> None:
    add(conversation, Role.USER, "Weather?")
    add(conversation, Role.ASSISTANT, "", tool_calls=[call("a"), call("b")])
    add(conversation, Role.TOOL, "sunny", tool_call_id="a")
    add(conversation, Role.TOOL, "rain", tool_call_id="b")
    add(conversation, Role.ASSISTANT, "Mixed.")
    assert window(conversation) == [*ROUND, assistant("Mixed."), user("new")]


def test_new_results_find_their_call_and_question_whatever_the_budget(conversation: Conversation) -> None:
    add(conversation, Role.USER, "old")
    add(conversation, Role.ASSISTANT, "old too")
    add(conversation, Role.USER, "Weather?")
    for number in range(history.MAX_MESSAGES):
        add(conversation, Role.ASSISTANT, "", tool_calls=[call(f"c{number}")])
        add(conversation, Role.TOOL, "cloudy", tool_call_id=f"c{number}")
    add(conversation, Role.ASSISTANT, "", tool_calls=[call("a"), call("b")])
    for budget in (-100, 10, 500, 10**9):
        prompt = window(conversation, result("a"), result("b", "rain"), budget=budget)
        assert prompt[0] == ROUND[0]
        assert prompt[-3:] == ROUND[1:]
        assert len(prompt) <= history.MAX_MESSAGES + 4


def test_a_message_after_a_long_chain_of_calls_is_never_lost(conversation: Conversation) -> None:
    add(conversation, Role.USER, "Weather?")
    add(conversation, Role.ASSISTANT, "", tool_calls=[call("a"), call("b")])
    add(conversation, Role.TOOL, "sunny " * 500, tool_call_id="a")
    add(conversation, Role.TOOL, "rain " * 500, tool_call_id="b")
    add(conversation, Role.ASSISTANT, "", Status.FAILED)
    assert contents(window(conversation, budget=20)) == ["Weather?\n\nnew"]


def test_calls_of_an_answer_that_broke_off_are_dropped(conversation: Conversation) -> None:
    add(conversation, Role.USER, "Weather?")
    add(conversation, Role.ASSISTANT, "Let me", Status.CANCELLED, tool_calls=[call("a")])
    assert window(conversation) == [user("Weather?"), assistant("Let me"), user("new")]


def picture(conversation: Conversation, number: int, count: int = 1) -> list[Part]:
    """A message with that many images; returns its parts."""
    parts = [text(f"number {number}"), *(image(f"{DATA}{number:04}") for _ in range(count))]
    add(conversation, Role.USER, f"number {number}", parts=parts)
    add(conversation, Role.ASSISTANT, "A cat.")
    return parts


def test_images_go_along(conversation: Conversation) -> None:
    parts = picture(conversation, 1)
    assert window(conversation) == [user(parts), assistant("A cat."), user("new")]


def test_the_newest_images_go_along_and_older_ones_become_text(conversation: Conversation) -> None:
    sent = [picture(conversation, number) for number in range(MAX_IMAGES + 3)]
    new = user([text("new"), image(), image()])
    prompt = [message["content"] for message in window(conversation, new) if message["role"] == "user"]
    assert prompt[:5] == [f"number {number}\n[image]" for number in range(5)]
    assert prompt[5:] == [*sent[5:], new["content"]]


def test_a_message_whose_images_are_too_many_sends_none_and_nor_do_older_ones(conversation: Conversation) -> None:
    picture(conversation, 1)
    picture(conversation, 2, MAX_IMAGES)
    picture(conversation, 3)
    texts = [json.dumps(message) for message in window(conversation)]
    assert [DATA in text for text in texts] == [False, False, False, False, True, False, False]


def test_a_provider_without_images_reads_none(conversation: Conversation) -> None:
    picture(conversation, 1)
    add(conversation, Role.USER, "", parts=[image(DATA)])
    add(conversation, Role.ASSISTANT, "A dog.")
    with CaptureQueriesContext(connection) as queries:
        assert contents(window(conversation, images=False)) == [
            "number 1\n[image]",
            "A cat.",
            "[image]",
            "A dog.",
            "new",
        ]
    assert len(queries) == 1


def test_images_that_do_not_go_along_are_not_read(conversation: Conversation) -> None:
    for number in range(40):
        picture(conversation, number)
    with CaptureQueriesContext(connection) as queries:
        window(conversation, budget=2_500)
    assert len(queries) <= 1 + 3
    with CaptureQueriesContext(connection) as queries:
        window(conversation, budget=10**9)
    assert len(queries) <= 2 + MAX_IMAGES + 1
    pages = [query["sql"] for query in queries if "LIMIT 50" in query["sql"]]
    assert pages
    assert all(page.count('"parts"') == page.count('"parts" IS NULL') for page in pages)


@pytest.mark.parametrize("count", [history.PAGE - 1, history.PAGE, history.PAGE + 1, 2 * history.PAGE])
def test_no_message_is_lost_between_two_pages(conversation: Conversation, count: int) -> None:
    for number in range(count):
        add(conversation, Role.USER, str(number))
    [merged] = window(conversation)
    assert merged["content"].split("\n\n") == [*map(str, range(count)), "new"]


def test_its_cost_does_not_grow_with_the_conversation(
    conversation: Conversation, django_assert_max_num_queries: Any
) -> None:
    Message.objects.bulk_create(
        Message(conversation=conversation, role=Role.USER, content=str(number)) for number in range(1000)
    )
    with django_assert_max_num_queries(history.MAX_MESSAGES // history.PAGE):
        [merged] = window(conversation, budget=10**9)
    assert merged["content"].split("\n\n") == [*map(str, range(1000 - history.MAX_MESSAGES, 1000)), "new"]
    with django_assert_max_num_queries(1):
        assert contents(window(conversation, budget=size(user("new"), user("999")))) == ["999\n\nnew"]
