"""The pieces of tool calls find their call, whatever a provider makes of the index."""

import json
from typing import Any

import pytest

from providers.base import ToolCallDelta
from providers.tool_calls import LONGEST_EXTRA, MOST_CALLS, MOST_NESTED, ToolCalls


def call(index: Any = "none", id: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    piece = {"id": id, "function": {"name": name, "arguments": arguments}}
    return piece if index == "none" else {**piece, "index": index}


def read(*pieces: dict[str, Any]) -> list[ToolCallDelta]:
    """Each in a delta of its own."""
    calls = ToolCalls()
    return [delta for piece in pieces for delta in calls.read([piece])]


def test_the_index_tells_the_calls_apart() -> None:
    assert read(call(0, "a", "f"), call(1, "b", "g"), call(0, arguments="{"), call(1, arguments="}")) == [
        ToolCallDelta(0, "a", "f"),
        ToolCallDelta(1, "b", "g"),
        ToolCallDelta(0, arguments="{"),
        ToolCallDelta(1, arguments="}"),
    ]


@pytest.mark.parametrize("index", ["none", None, "0", 0, 7, -1])
def test_another_id_is_another_call_whatever_its_index(index: Any) -> None:
    deltas = read(call(index, "a", "f", "{"), call(index, None, None, "}"), call(index, "b", "f", "{}"))
    assert deltas == [
        ToolCallDelta(0, "a", "f", "{"),
        ToolCallDelta(0, arguments="}"),
        ToolCallDelta(1, "b", "f", "{}"),
    ]


def test_calls_without_index_and_id_count_by_their_place() -> None:
    assert ToolCalls().read([call(name="f"), call(name="g")]) == (
        ToolCallDelta(0, name="f"),
        ToolCallDelta(1, name="g"),
    )


def test_an_id_and_a_name_that_are_repeated_come_once() -> None:
    assert read(call(0, "a", "f", "{"), call(0, "a", "f", "}")) == [
        ToolCallDelta(0, "a", "f", "{"),
        ToolCallDelta(0, arguments="}"),
    ]
    assert read(call(id="a", name="f"), call(id="a", name="f", arguments="{}"))[1] == ToolCallDelta(0, arguments="{}")


def test_another_name_is_another_call_when_there_are_no_ids() -> None:
    deltas = read(call(0, None, "f", "{}"), call(0, None, "g", "{}"))
    assert deltas == [ToolCallDelta(0, name="f", arguments="{}"), ToolCallDelta(1, name="g", arguments="{}")]


@pytest.mark.parametrize("index", ["none", 0])
def test_another_name_is_another_call_even_with_the_same_id(index: Any) -> None:
    deltas = read(call(index, "a", "f", "{}"), call(index, "a", "g", "{"), call(index, "a", None, "}"))
    assert [(delta.index, delta.name, delta.arguments) for delta in deltas] == [
        (0, "f", "{}"),
        (1, "g", "{"),
        (1, "", "}"),
    ]


def test_an_id_may_come_late() -> None:
    assert read(call(0, None, "f"), call(0, "a")) == [ToolCallDelta(0, name="f"), ToolCallDelta(0, "a")]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(None, ""), ("", ""), ('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a": 1}'), ({}, "{}"), ("a\x00\ud83d", "a?")],
)
def test_the_arguments_are_a_string(arguments: Any, text: str) -> None:
    assert read(call(0, "a", "f", arguments))[0].arguments == text


def test_the_rest_is_made_fit_for_a_database() -> None:
    assert read(call(0, "a\x00", "f\ud83d"), call(1, 7, ["g"])) == [ToolCallDelta(0, "a", "f?"), ToolCallDelta(1)]


SIGNED = {"google": {"thought_signature": "c2ln"}}


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        (SIGNED, SIGNED),
        *((odd, None) for odd in (None, {}, [], "x", 7)),
        ({"x": "y" * LONGEST_EXTRA}, None),
        ({"x": json.loads("[" * MOST_NESTED + "]" * MOST_NESTED)}, None),
        ({"x": "a\x00"}, None),
        ({"x": "a\ud83d"}, {"x": "a?"}),
    ],
)
def test_what_comes_beside_a_call_is_kept_when_a_database_takes_it(extra: Any, kept: Any) -> None:
    assert [delta.extra for delta in read({**call(0, "a", "f"), "extra_content": extra})] == [kept]


def test_there_is_an_end_to_them() -> None:
    with pytest.raises(ValueError, match="too many"):
        read(*[call(i) for i in range(MOST_CALLS + 1)])
