"""From an answer's bytes to deltas and a verdict: the same however the bytes are cut."""

import json
from dataclasses import replace
from typing import Any

import pytest

from providers import errors
from providers.base import Delta, Usage
from providers.decoder import AnswerDecoder
from providers.registry import Provider
from providers.sse import LONGEST_EVENT
from providers.usage import MAX_COUNT

ROW = Provider(name="x", label="X", base_url="http://x/v1", model="m")
WORDS = [{"choices": [{"delta": {"content": word}}]} for word in ("Grüße ", "🌍")]
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}], "model": "m-1"}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
USAGE_FIELD = {"usage": USAGE["usage"]}
CHOICE = {"message": {"role": "assistant", "content": "Grüße 🌍"}, "finish_reason": "stop"}
WHOLE = json.dumps({"choices": [CHOICE], "usage": USAGE["usage"]}, ensure_ascii=False).encode()


def events(*payloads: Any, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(p, ensure_ascii=False)}\n\n" for p in payloads) + end).encode()


def decode(body: bytes, size: int | None = None) -> list[Delta]:
    """The deltas of a body that comes in pieces of `size` bytes."""
    decoder = AnswerDecoder(ROW)
    size = size or len(body) or 1
    deltas = [delta for i in range(0, len(body), size) for delta in decoder.feed(body[i : i + size])]
    return deltas + list(decoder.close())


def fails(body: bytes, size: int | None = None) -> errors.ProviderError:
    with pytest.raises(errors.ProviderError) as error:
        decode(body, size)
    return error.value


def one(delta: dict[str, Any]) -> Delta:
    """What is made of a delta of the protocol."""
    return decode(events({"choices": [{"delta": delta}]}, {"choices": [{"delta": {}, "finish_reason": "length"}]}))[0]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n \n"])
@pytest.mark.parametrize("body", [events(*WORDS, STOP, USAGE), events(*WORDS, STOP, USAGE, end=""), WHOLE])
def test_it_reads_a_body_cut_into_pieces_of_any_size(body: bytes, start: bytes) -> None:
    for size in (1, 2, 3, 7, 64, None):
        deltas = decode(start + body, size)
        assert "".join(delta.text for delta in deltas) == "Grüße 🌍"
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
        assert [delta.usage for delta in deltas if delta.usage] == [Usage(3, 2, 5)]


def test_nothing_comes_after_done() -> None:
    decoder = AnswerDecoder(ROW)
    assert len(list(decoder.feed(events(*WORDS, STOP) + events(*WORDS)))) == 3
    assert decoder.done
    assert list(decoder.close()) == []


def test_an_event_without_data_is_a_sign_of_life() -> None:
    assert len(decode(b"data:\n\ndata: \n\n" + events(*WORDS, STOP))) == 3


@pytest.mark.parametrize(
    ("reported", "told"),
    [
        *((word, "stop") for word in ("STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE")),
        *((word, "tool_calls") for word in ("tool_calls", "tool_use", "function_call")),
        *((word, "length") for word in ("length", "model_length", "MAX_TOKENS")),
    ],
)
def test_it_knows_the_other_names_of_a_finish_reason(reported: str, told: str) -> None:
    last = {"choices": [{"delta": {}, "finish_reason": reported}]}
    assert decode(events(*WORDS, last))[-1].finish_reason == told


@pytest.mark.parametrize(
    "reported", ["content_filter", "SAFETY", "PROHIBITED_CONTENT", "content_filter: PROHIBITED_CONTENT", "refusal"]
)
def test_it_knows_a_filter_by_its_other_names(reported: str) -> None:
    assert type(fails(events(*WORDS, {"choices": [{"finish_reason": reported}]}))) is errors.ContentFiltered


@pytest.mark.parametrize("reported", ["error", "ERROR", "insufficient_system_resource", "abort"])
def test_a_finish_reason_can_be_a_failure(reported: str) -> None:
    assert type(fails(events(*WORDS, {"choices": [{"delta": {}, "finish_reason": reported}]}))) is errors.ServerError


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "eos"])
def test_an_answer_without_a_word_is_empty_whatever_it_calls_its_end(reason: str) -> None:
    assert type(fails(events({"choices": [{"delta": {}, "finish_reason": reason}]}))) is errors.EmptyAnswer


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"message": "Overloaded", "type": "overloaded_error"}},
        {"error": "Overloaded"},
        [{"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}],
        {"object": "error", "message": "Overloaded", "type": "InternalServerError", "code": 500},
        {"type": "error", "message": "Overloaded"},
        {"x_groq": {"id": "req_1", "error": "Overloaded"}},
        {"choices": [{"delta": {}, "error": {"code": 502, "message": "Overloaded"}, "finish_reason": "error"}]},
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_it_finds_an_error_in_whatever_wrapping(payload: Any, whole: bool) -> None:
    error = fails(json.dumps(payload).encode() if whole else events(*WORDS, payload))
    assert (type(error), error.reason) == (errors.ServerError, "Overloaded")


def test_an_event_named_error_is_one_whatever_it_says() -> None:
    for data in ('{"message": "Overloaded"}', "Overloaded"):
        error = fails(events(*WORDS, end=f"event: error\ndata: {data}\n\n"))
        assert (type(error), error.reason) == (errors.ServerError, "Overloaded")


def test_an_event_of_another_name_is_an_event() -> None:
    assert len(decode(b"event: message\n" + events(*WORDS, STOP))) == 3


@pytest.mark.parametrize(
    "data", ["{", "7", '"text"', "null", "[]", '{"choices": 7}', '{"choices": [7]}', "[" * 100_000, "1" * 5_000]
)
def test_a_chunk_that_makes_no_sense_is_malformed(data: str) -> None:
    error = fails(events(*WORDS, end=f"data: {data}\n\n"))
    assert type(error) is errors.MalformedAnswer
    assert error.cause


@pytest.mark.parametrize(
    "delta",
    [
        {"content": 7},
        {"content": [7]},
        {"tool_calls": 7},
        {"tool_calls": [7]},
        {"tool_calls": [{"function": "f"}]},
        {"tool_calls": [{"id": str(i)} for i in range(200)]},
    ],
)
def test_a_delta_that_makes_no_sense_is_malformed(delta: dict[str, Any]) -> None:
    assert type(fails(events({"choices": [{"delta": delta}]}))) is errors.MalformedAnswer


@pytest.mark.parametrize(
    "delta", [{"content": "a\x00b\ud83d"}, {"content": [{"type": "text", "text": "a\x00b\ud83d"}]}]
)
def test_text_is_made_fit_for_a_database(delta: dict[str, Any]) -> None:
    assert decode(f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n".encode() + events(STOP))[0].text == "ab?"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert decode(b'data: {"choices": [{"delta": {"content": "a\xff"}}]}\n\n' + events(STOP))[0].text == "a\ufffd"


def test_a_refusal_is_what_the_model_says_and_known_for_one() -> None:
    assert one({"content": None, "refusal": "I cannot."}) == Delta(text="I cannot.", refused=True)
    assert one({"content": "yes", "refusal": None}) == Delta(text="yes")


def test_parts_of_an_unknown_kind_are_left_out() -> None:
    parts = [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "yes"}]
    assert one({"content": parts}) == Delta(text="yes")
    assert one({"content": [{"type": "thinking", "thinking": "hm"}]}) == Delta(reasoning="hm")


def test_reasoning_that_is_no_text_is_left_out() -> None:
    assert one({"content": "yes", "reasoning": {"effort": "high"}}) == Delta(text="yes")


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2, 5)),
        ({"prompt_tokens": 3, "completion_tokens": None, "total_tokens": 3}, Usage(3, 0, 3)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(3, 2, 5)),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 2}},
            Usage(3, 2, 5, 2),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 1}, Usage(3, 2, 5, 1)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 9}, Usage(3, 2, 5, 3)),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}},
            Usage(3, 2, 5, reasoning_tokens=1),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 9}},
            Usage(3, 2, 5, reasoning_tokens=2),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": None}, Usage(3, 2, 5)),
        (
            {"prompt_tokens": 10**30, "completion_tokens": -5, "total_tokens": "many"},
            None,
        ),
        ({"prompt_tokens": MAX_COUNT, "completion_tokens": 0}, Usage(MAX_COUNT, 0, MAX_COUNT)),
        *(
            ({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, name: MAX_COUNT + 1}, None)
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        ),
        ({"prompt_tokens": MAX_COUNT, "completion_tokens": 1}, None),
    ],
)
@pytest.mark.parametrize("place", ["last chunk", "own chunk", "choice", "x_groq"])
def test_it_reads_the_usage_wherever_it_is(place: str, reported: Any, usage: Usage | None) -> None:
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    bodies = {
        "last chunk": events(*WORDS, {**last, "usage": reported}),
        "own chunk": events(*WORDS, last, {"choices": [], "usage": reported}),
        "choice": events(*WORDS, {"choices": [{"finish_reason": "stop", "usage": reported}]}),
        "x_groq": events(*WORDS, {**last, "x_groq": {"usage": reported}}),
    }
    assert [d.usage for d in decode(bodies[place]) if d.usage] == ([usage] if usage else [])


@pytest.mark.parametrize("start", [b'{"choices": "', b"[", b"data: "])
def test_it_does_not_read_for_ever(start: bytes) -> None:
    error = fails(start + b"x" * LONGEST_EVENT)
    assert (type(error), error.cause[-11:]) == (errors.MalformedAnswer, "without end")


def test_a_page_is_refused_at_its_first_byte() -> None:
    with pytest.raises(errors.MalformedAnswer):
        list(AnswerDecoder(ROW).feed(b"\n<"))


def test_the_size_of_tool_calls_counts() -> None:
    pieces = [{"index": 0, "function": {"arguments": "x" * 1_000_000}}]
    error = fails(events(*[{"choices": [{"delta": {"tool_calls": pieces}}]}] * 9), size=64_000)
    assert error.cause == "an answer without end"


def test_an_error_bears_the_providers_request_id() -> None:
    decoder = AnswerDecoder(ROW)
    decoder.request_id = "req_1"
    with pytest.raises(errors.ProviderError) as error:
        list(decoder.feed(events({"error": "Overloaded"})))
    assert error.value.provider_request_id == "req_1"


@pytest.mark.parametrize(
    ("reported", "cause"),
    [
        ("OTHER", "other"),
        ("MALFORMED_FUNCTION_CALL", "malformed_function_call"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "malformed_function_call"),
    ],
)
def test_an_answer_that_broke_off_is_none_whatever_it_calls_that(reported: str, cause: str) -> None:
    last = {"choices": [{"delta": {}, "finish_reason": reported}], **USAGE_FIELD}
    decoder = AnswerDecoder(ROW)
    before = list(decoder.feed(events(*WORDS, last)))
    assert ("".join(delta.text for delta in before), before[-1].usage) == ("Grüße 🌍", Usage(3, 2, 5))
    with pytest.raises(errors.MalformedAnswer) as error:
        list(decoder.close())
    assert error.value.cause == f"finish reason {cause}"


def test_a_finish_reason_that_nobody_knows_is_an_end() -> None:
    last = {"choices": [{"delta": {}, "finish_reason": "Finished"}]}
    assert decode(events(*WORDS, last))[-1].finish_reason == "finished"


def test_a_word_for_none_is_no_finish_reason() -> None:
    words = [{"choices": [{"delta": {"content": "yes"}, "finish_reason": reason}]} for reason in ("null", "", None)]
    assert [delta.finish_reason for delta in decode(events(*words, STOP))] == [None, None, None, "stop"]
    assert fails(events(*words)).cause == "the stream ended before the answer did"


def calling(*calls: dict[str, Any], reason: str = "tool_calls", reasoning: str = "") -> bytes:
    thought = [{"choices": [{"delta": {"reasoning_content": piece}}]} for piece in reasoning.split()]
    pieces = [{"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls]
    return events(*thought, *pieces, {"choices": [{"delta": {}, "finish_reason": reason}]})


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_call_without_a_name_is_malformed_unless_the_answer_was_cut_off(name: Any) -> None:
    calls = {"index": 0, "id": "a", "function": {"name": "f"}}, {"index": 1, "id": "b", "function": {"name": name}}
    assert fails(calling(*calls)).cause == "a tool call without a name"
    assert decode(calling(*calls, reason="length"))[-1].finish_reason == "length"


def test_reasoning_stays_with_the_first_call_only_for_a_provider_that_wants_it_back() -> None:
    calls = [{"index": i, "id": str(i), "function": {"name": "f", "arguments": "{}"}} for i in range(2)]
    for wants in (False, True):
        decoder = AnswerDecoder(replace(ROW, wants_reasoning=wants))
        deltas = [*decoder.feed(calling(*calls, reasoning="a b")), *decoder.close()]
        assert "".join(delta.reasoning for delta in deltas) == "ab"
        extras = [call.extra for delta in deltas for call in delta.tool_calls]
        assert extras == [{"reasoning_content": "ab"} if wants else None, None]


def test_usage_may_come_beside_a_word() -> None:
    word = {"choices": [{"delta": {"content": "yes"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    assert decode(events(word, STOP))[0].usage == Usage(3, 1, 4)
