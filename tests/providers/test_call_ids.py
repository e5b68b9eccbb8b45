"""Ids of tool calls as Mistral takes them."""

from providers.base import ChatMessage
from providers.call_ids import SHORT, short, shortened


def test_its_own_ids_stay() -> None:
    assert short("D681PevKs") == "D681PevKs"


def test_another_id_becomes_one_of_nine_characters_and_always_the_same() -> None:
    assert SHORT.fullmatch(short("call_1"))
    assert short("call_1") == short("call_1") != short("call_2")


def test_a_call_and_its_result_still_belong_together() -> None:
    function = {"name": "f", "arguments": "{}"}
    messages: list[ChatMessage] = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "done", "tool_call_id": "call_1"},
    ]
    asked, called, result = shortened(messages)
    assert asked == messages[0]
    assert called["tool_calls"][0] == {"id": short("call_1"), "type": "function", "function": function}
    assert result["tool_call_id"] == short("call_1")
    assert messages[2]["tool_call_id"] == "call_1", "the conversation keeps its own"
