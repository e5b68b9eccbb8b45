"""What an answer's deltas are put together to."""

from typing import Any

import pytest

from conversations.answer import LONGEST_ID, Answer
from providers.base import ChatRequest, Delta, ToolCallDelta, Usage


def answer(*deltas: Delta) -> Answer:
    made = Answer()
    for delta in deltas:
        made.add(delta)
    return made


def calling(*pieces: tuple[Any, ...], end: str = "tool_calls") -> Answer:
    return answer(Delta(tool_calls=tuple(ToolCallDelta(*piece) for piece in pieces)), Delta(finish_reason=end))


def test_pieces_make_whole_calls_in_the_order_of_their_index() -> None:
    made = calling((1, "b", "g", "{}"), (0, "a", "f", '{"x":'), (0, "", "", " 1}"))
    assert made.tool_calls == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


@pytest.mark.parametrize("ids", [("", ""), ("a", "a"), ("x" * (LONGEST_ID + 1), "b")])
def test_each_call_has_an_id_of_its_own_that_stays_the_same(ids: tuple[str, str]) -> None:
    made = calling((0, ids[0], "f", "{}"), (1, ids[1], "g", "{}"))
    first = [call["id"] for call in made.tool_calls]
    assert len(set(first)) == 2
    assert all(0 < len(call_id) <= LONGEST_ID for call_id in first)
    assert [call["id"] for call in made.tool_calls] == first


def test_a_call_that_was_cut_off_is_none() -> None:
    pieces = (0, "a", "f", "{}"), (1, "b", "g", '{"city": "Pa'), (2, "c", "h", "{}")
    assert [call["id"] for call in calling(*pieces, end="length").tool_calls] == ["a"]
    assert [call["id"] for call in calling((0, "a", "f", "{}"), (1, "b", ""), end="length").tool_calls] == ["a"]
    assert len(calling(*pieces).tool_calls) == 3, "the provider's own mistake is shown as it is"


def test_a_call_without_arguments_is_whole() -> None:
    assert len(calling((0, "a", "f"), end="length").tool_calls) == 1


def test_usage_is_estimated_only_when_there_is_an_answer_and_no_count() -> None:
    request = ChatRequest(model="m", messages=[{"role": "user", "content": "word " * 8}])
    assert answer().usage_of(request) is None
    assert answer(Delta(text="x" * 40)).usage_of(request) == Usage(11, 10, 21, estimated=True)
    assert answer(Delta(text="x"), Delta(usage=Usage(1, 2, 3))).usage_of(request) == Usage(1, 2, 3)
