"""Export and import: what comes out goes in again, whatever it is."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries
from uuid_utils.compat import uuid7

from chatproject.problems import Problem
from conversations.models import Conversation, ConversationTag, Message, TurnStatistics
from conversations.transfer import reading, writing
from conversations.transfer.importing import Imported, import_body
from conversations.transfer.reading import PAGE, Chosen
from conversations.transfer.stream import CHUNK, take

PNG = "data:image/png;base64,iVBORw0KGgo="
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a(b)_<c>.png"}},
]
CALLS = [
    {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
        "extra_content": {"google": {"thought_signature": "abc"}},
    }
]
ODD = "line\r\n\ttab \u2028 \ufeff 🌍 e\u0301 ' \" \\ \x7f ]} ``` \U0010ffff"
LONG_AGO = datetime(2020, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)


def message(conversation: Conversation, role: str, content: str, **fields: Any) -> Message:
    return Message.objects.create(conversation=conversation, role=role, content=content, **fields)


@pytest.fixture
def everything(owner: User) -> Conversation:
    """A conversation with something in every field that is exported."""
    made = Conversation.objects.create(
        owner=owner,
        title='Ein "Titel"\nmit 🌍',
        provider="fake",
        model="echo",
        system_prompt=ODD,
        metadata={"a": [1, 2.5, None, {"b": ODD}], "big": 2**70},
        parameters={"temperature": 0.2, "max_tokens": 500},
        archived=True,
        pinned=True,
    )
    for name in ("zwei", "eins"):
        ConversationTag.objects.create(conversation=made, name=name)
    message(made, "user", "What is this?", parts=PARTS)
    old = message(made, "assistant", "A dog", provider="fake", model="echo", superseded_by=uuid7())
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16, "usage_estimated": True}
    new = message(
        made,
        "assistant",
        "",
        reasoning="Let me\nthink",
        tool_calls=CALLS,
        finish_reason="tool_calls",
        provider="fake",
        model="echo",
        cost_usd=Decimal("0.00000123"),
        ttft_ms=12,
        latency_ms=3456,
        request_id="r",
        trace_id="t",
        sentry_event_id="e",
        **usage,
    )
    Message.objects.filter(pk=old.pk).update(superseded_by=new.pk)
    message(made, "tool", "12 °C", tool_call_id="call_1")
    message(made, "assistant", "half an ans", status="failed", error_code="timeout", provider="fake", model="echo")
    message(made, "user", ODD)
    message(made, "assistant", ODD, cost_usd=Decimal("123456.12345678"), status="cancelled")
    Message.objects.filter(conversation=made).update(created_at=LONG_AGO)
    Conversation.objects.filter(pk=made.pk).update(created_at=LONG_AGO)
    return made


def written(owner: User, format: str = "json", **chosen: Any) -> str:
    return "".join(writing.WRITERS[format][0](Chosen(owner=owner, **chosen)))


def exported(owner: User, **chosen: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(written(owner, **chosen))["conversations"]
    return found


def brought(owner: User, text: str, *, lines: bool = False) -> Imported:
    return import_body(owner, text.encode(), lines)


def without_ids(conversations: list[dict[str, Any]]) -> Any:
    """With each id replaced by the number of its first appearance."""
    text = json.dumps(conversations)
    ids = [item["id"] for item in conversations] + [m["id"] for item in conversations for m in item["messages"]]
    for number, id in enumerate(ids):
        text = text.replace(id, f"id {number}")
    return json.loads(text)


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_what_is_exported_is_imported_the_same(owner: User, everything: Conversation, format: str) -> None:
    other = User.objects.create(username="other")
    Conversation.objects.create(owner=owner, provider="p", model="m")
    brought(other, written(owner, format), lines=format == "jsonl")
    assert without_ids(exported(other)) == without_ids(exported(owner))
    assert len(exported(other)[0]["messages"]) == 7


def test_the_columns_are_the_same_but_for_what_is_not_the_callers(owner: User, everything: Conversation) -> None:
    done = brought(owner, written(owner))
    [(new, old)] = done.ids
    assert old == everything.pk
    left_out = {"id", "conversation_id", "request_id", "trace_id", "sentry_event_id", "superseded_by"}

    def columns(conversation: Any) -> list[dict[str, Any]]:
        rows = Message.objects.filter(conversation=conversation).order_by("id").values()
        return [{name: value for name, value in row.items() if name not in left_out} for row in rows]

    assert columns(new) == columns(everything)
    counted = Conversation.objects.get(pk=new)
    assert (counted.message_count, counted.token_count, counted.failure_count) == (6, 16, 1)
    assert round(counted.cost_usd or 0, 8) == Decimal("123456.12345801")


def test_the_new_ones_are_the_newest_and_active_now(owner: User, everything: Conversation) -> None:
    text = written(owner)
    later = Conversation.objects.create(owner=owner, provider="p", model="m")
    [(new, _)] = brought(owner, text).ids
    made = Conversation.objects.get(pk=new)
    assert Conversation.objects.filter(owner=owner).first() == made
    assert made.created_at == LONG_AGO
    assert made.last_activity_at >= later.last_activity_at, "or retention would take them at once"


def test_an_import_counts_in_no_statistics(owner: User, everything: Conversation) -> None:
    brought(owner, written(owner))
    assert not TurnStatistics.objects.exists()


def test_a_turn_that_was_under_way_is_interrupted(owner: User) -> None:
    made = Conversation.objects.create(owner=owner, provider="p", model="m")
    message(made, "assistant", "half", status="streaming")
    [(new, _)] = brought(owner, written(owner)).ids
    answer = Message.objects.get(conversation=new)
    assert (answer.status, answer.error_code, answer.content) == ("interrupted", "interrupted", "half")


def test_many_messages_and_conversations_come_in_their_order(owner: User) -> None:
    for title in ("one", "two", "three"):
        made = Conversation.objects.create(owner=owner, title=title, provider="p", model="m")
        Message.objects.bulk_create(
            Message(conversation=made, role="user", content=f"{title} {number}") for number in range(PAGE * 2 + 1)
        )
    other = User.objects.create(username="other")
    brought(other, written(owner, "jsonl"), lines=True)
    for who in (owner, other):
        found = exported(who)
        assert [item["title"] for item in found] == ["one", "two", "three"]
        assert [m["content"] for m in found[2]["messages"]] == [f"three {number}" for number in range(PAGE * 2 + 1)]


def test_it_comes_in_pieces_however_long_a_conversation_is(owner: User) -> None:
    made = Conversation.objects.create(owner=owner, provider="p", model="m")
    Message.objects.bulk_create(Message(conversation=made, role="user", content="x" * 1_000) for _ in range(500))
    pieces = writing.jsonl(Chosen(owner=owner))
    chunks = list(iter(lambda: take(pieces), ""))
    assert len(chunks) >= 500_000 // CHUNK
    assert all(len(chunk) < CHUNK + 2_000 for chunk in chunks)
    assert len(json.loads("".join(chunks).splitlines()[0])["messages"]) == 500


def test_only_the_chosen_are_exported(owner: User) -> None:
    one, two, three = (Conversation.objects.create(owner=owner, provider="p", model="m") for _ in range(3))
    deleted = Conversation.objects.create(owner=owner, provider="p", model="m", deleted_at=LONG_AGO)
    stranger = User.objects.create(username="stranger")
    theirs = Conversation.objects.create(owner=stranger, provider="p", model="m")
    Conversation.objects.filter(pk=one.pk).update(last_activity_at=LONG_AGO)
    middle = two.last_activity_at

    def ids(**chosen: Any) -> list[str]:
        return [item["id"] for item in exported(owner, **chosen)]

    assert ids() == [str(one.pk), str(two.pk), str(three.pk)]
    assert ids(since=middle) == [str(two.pk), str(three.pk)]
    assert ids(until=middle) == [str(one.pk)]
    assert ids(ids=[three.pk, one.pk, theirs.pk, deleted.pk]) == [str(one.pk), str(three.pk)]


def test_markdown_shows_all_that_was_said(owner: User, everything: Conversation) -> None:
    text = written(owner, "markdown")
    for part in (
        '# Ein "Titel" mit 🌍\n',
        "- Tags: eins, zwei\n",
        "## User, 2020-02-29 23:59:59 UTC\n",
        f"![image](<{PNG}>)",
        "![image](<https://example.com/a(b)_%3Cc%3E.png>)",
        "superseded",
        "> Let me\n> think",
        'Call call_1:\n\n    weather({"city": "Köln"})',
        "*answers the call call_1*\n\n12 °C",
        "failed, timeout",
        ODD,
    ):
        assert part in text, part
    assert text.endswith("---\n\nEnd of the export. Conversations: 1; messages: 7.\n")


def test_an_export_of_nothing_is_whole(owner: User) -> None:
    assert exported(owner) == []
    assert json.loads(written(owner, "jsonl"))["conversation_count"] == 0
    assert brought(owner, written(owner)) == brought(owner, written(owner, "jsonl"), lines=True) == ([], 0)


ANSWER = {"role": "assistant", "content": "x", "created_at": "2026-01-01T00:00:00Z"}
QUESTION = {"role": "user", "content": "x", "created_at": "2026-01-01T00:00:00Z"}
ID = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"


def conversation(*messages: Any, **fields: Any) -> dict[str, Any]:
    known = {"provider": "p", "model": "m", "created_at": "2026-01-01T00:00:00Z", "messages": list(messages)}
    return {**known, **fields}


def document(*conversations: Any, **fields: Any) -> dict[str, Any]:
    return {"format": "ai-chat-export", "version": 1, "conversations": list(conversations), **fields}


WRONG = [
    ([], "body"),
    ({}, "format"),
    (document(version=2), "version"),
    (document(format="chatgpt"), "format"),
    (document(more=1), "more"),
    (document(conversation_count=1), "conversation_count"),
    (document(conversation(ANSWER), message_count=2), "message_count"),
    (document({}), "conversations.0.provider"),
    (document(conversation(), conversation(owner="alice")), "conversations.1.owner"),
    (document(conversation(provider="x" * 33)), "conversations.0.provider"),
    (document(conversation(title="\x00")), "conversations.0.title"),
    (document(conversation(metadata={"a": "\x00"})), "conversations.0.metadata"),
    (document(conversation(parameters={"top_k": 1})), "conversations.0.parameters.top_k"),
    (document(conversation(tags=[str(number) for number in range(33)])), "conversations.0.tags"),
    (document(conversation(tags=["x" * 65])), "conversations.0.tags.0"),
    (document(conversation(pinned="yes")), "conversations.0.pinned"),
    (document(conversation(created_at="2026-01-01T00:00:00")), "conversations.0.created_at"),
    (document(conversation(created_at="9999-01-01T00:00:00Z")), "conversations.0.created_at"),
    (document(conversation(created_at="0001-01-01T00:00:00+14:00")), "conversations.0.created_at"),
    (document(conversation({**ANSWER, "role": "god"})), "conversations.0.messages.0.role"),
    (document(conversation(QUESTION, {**ANSWER, "content": "\x00"})), "conversations.0.messages.1.content"),
    (document(conversation({**ANSWER, "request_id": "x"})), "conversations.0.messages.0.request_id"),
    (document(conversation({**ANSWER, "cost_usd": "1"})), "conversations.0.messages.0.cost_usd"),
    (document(conversation({**ANSWER, "cost_usd": -1})), "conversations.0.messages.0.cost_usd"),
    (document(conversation({**ANSWER, "cost_usd": 1e300})), "conversations.0.messages.0.cost_usd"),
    (document(conversation(*[{**ANSWER, "cost_usd": 150_000.0}] * 2)), "conversations.0.messages"),
    (document(conversation({**ANSWER, "ttft_ms": 2**31})), "conversations.0.messages.0.ttft_ms"),
    (
        document(conversation({**ANSWER, "usage": {"total_tokens": 1}})),
        "conversations.0.messages.0.usage.prompt_tokens",
    ),
    (document(conversation({**ANSWER, "superseded_by": ID})), "conversations.0.messages.0.superseded_by"),
    (document(conversation({**ANSWER, "tool_call_id": "x"})), "conversations.0.messages.0.tool_call_id"),
    (document(conversation({**QUESTION, "ttft_ms": 1})), "conversations.0.messages.0.ttft_ms"),
    (document(conversation({**QUESTION, "role": "tool"})), "conversations.0.messages.0.tool_call_id"),
    (document(conversation({**ANSWER, "parts": PARTS})), "conversations.0.messages.0.parts"),
    (document(conversation({**QUESTION, "parts": PARTS})), "conversations.0.messages.0.content"),
    (
        document(conversation({**QUESTION, "parts": [{"type": "image_url", "image_url": {"url": "http://a.b/"}}]})),
        "conversations.0.messages.0.parts.0.image_url",
    ),
    (document(conversation({**ANSWER, "id": ID}, {**ANSWER, "id": ID})), "conversations.0.messages"),
    (document(*[conversation()] * 1_001), "conversations"),
    (document(conversation(*[QUESTION] * 6_000), conversation(*[QUESTION] * 6_000)), "messages"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_does_not_fit_is_refused_by_its_place_and_nothing_is_stored(owner: User, body: Any, field: str) -> None:
    with pytest.raises(Problem) as caught:
        brought(owner, json.dumps(body))
    assert (caught.value.code, caught.value.extra["errors"][0]["field"]) == ("invalid_request", field)
    assert field in caught.value.detail
    assert not Conversation.objects.exists()


def line(*messages: Any, **fields: Any) -> str:
    return json.dumps({"format": "ai-chat-export", "version": 1, **conversation(*messages), **fields})


END = {"format": "ai-chat-export", "version": 1, "conversation_count": 1, "message_count": 1}
WRONG_LINES = [
    ([line(), "", line({**ANSWER, "role": "god"})], "line 3.messages.0.role"),
    ([line(), json.dumps(END)], "message_count"),
    ([line(ANSWER), json.dumps(END), line()], "line 3"),
    ([json.dumps(conversation())], "line 1.format"),
    ([json.dumps(document())], "line 1.provider"),
]


@pytest.mark.parametrize(("lines", "field"), WRONG_LINES)
def test_json_lines_are_refused_by_the_line(owner: User, lines: list[str], field: str) -> None:
    with pytest.raises(Problem) as caught:
        brought(owner, "\n".join(lines), lines=True)
    assert (caught.value.code, caught.value.extra["errors"][0]["field"]) == ("invalid_request", field)
    assert not Conversation.objects.exists()


def test_lines_that_broke_off_are_no_json(owner: User, everything: Conversation) -> None:
    whole = written(owner, "jsonl").encode()
    with pytest.raises(Problem) as caught:
        import_body(owner, whole[: len(whole) // 2], True)
    assert caught.value.code == "invalid_json"
    assert "Line 1" in caught.value.detail


def test_a_part_of_the_lines_can_be_imported(owner: User) -> None:
    assert brought(owner, line(ANSWER) + "\n" + line(), lines=True).messages == 1
    assert Conversation.objects.count() == 2


def test_the_texts_of_others_are_in_no_message(owner: User) -> None:
    """A problem's detail goes into nobody's log, but what is wrong may be a secret all the same."""
    with pytest.raises(Problem) as caught:
        brought(owner, json.dumps(document(conversation({**ANSWER, "role": "canary"}, title=["canary"]))))
    assert "canary" not in caught.value.detail


def test_the_commands_do_the_same(owner: User, everything: Conversation, tmp_path: Path) -> None:
    other = User.objects.create(username="other")
    Conversation.objects.create(owner=owner, provider="p", model="m")
    out, said, warned = io.StringIO(), io.StringIO(), io.StringIO()
    call_command("export_conversations", "owner", stdout=out)
    file = tmp_path / "export.jsonl"
    file.write_text(out.getvalue())
    call_command("import_conversations", "other", str(file), stdout=said, stderr=warned)
    assert without_ids(exported(other)) == without_ids(exported(owner))
    assert (said.getvalue(), warned.getvalue()) == ("Imported 2 conversations with 7 messages.\n", "")


def test_the_command_keeps_what_was_right_and_says_where_it_stopped(owner: User, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text(line(ANSWER) + "\n" + line({**ANSWER, "role": "god"}) + "\n")
    with pytest.raises(CommandError, match=r"line 2.messages.0.role: .* Imported before it: 1 conversations"):
        call_command("import_conversations", "owner", str(file))
    assert Conversation.objects.count() == 1
    warned = io.StringIO()
    file.write_text(line(ANSWER))
    call_command("import_conversations", "owner", str(file), stdout=io.StringIO(), stderr=warned)
    assert "broke off" in warned.getvalue()
    for command in (["export_conversations", "nobody"], ["import_conversations", "nobody", str(file)]):
        with pytest.raises(CommandError, match="no user 'nobody'"):
            call_command(*command)


def test_an_export_looks_for_many_conversations_at_once(
    owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        Conversation.objects.create(owner=owner, provider="p", model="m")
    with django_assert_max_num_queries(7):
        assert len(list(reading.conversations(reading.Chosen(owner=owner)))) == 5
