"""The message's JSON is made by hand for speed, and is that of its schema."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ninja.responses import NinjaJSONEncoder
from uuid_utils.compat import uuid7

from conversations import encoding
from conversations.documents import MessageOut
from conversations.models import Message, Role, Status

CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
PARTS = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
count = st.none() | st.integers(0, 2**31 - 1)
ids = st.none() | st.builds(uuid7)
money = st.none() | st.decimals(0, 9999, places=8)
message_fields = st.fixed_dictionaries(
    {
        "role": st.sampled_from([*Role, "user", "assistant"]),
        "status": st.sampled_from([*Status, "completed"]),
        "usage_estimated": st.booleans(),
        "cost_usd": money,
        "superseded_by": ids,
        "copied_from": ids,
        "created_at": st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
        **dict.fromkeys(("content", "reasoning", "tool_call_id", "finish_reason", "error_code", "provider"), text),
        **dict.fromkeys(("model", "request_id", "trace_id", "sentry_event_id"), text),
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "ttft_ms", "latency_ms"), count),
    }
)


def by_schema(message: Message) -> str:
    return json.dumps(MessageOut.from_orm(message).dict(), cls=NinjaJSONEncoder)


@given(fields=message_fields)
def test_a_message_is_shown_as_its_schema_has_it(fields: dict[str, Any]) -> None:
    message = Message(conversation_id=uuid7(), **fields)
    assert encoding.document(message) == by_schema(message)


@pytest.mark.parametrize("fields", [{"tool_calls": CALLS}, {"tool_calls": []}, {"parts": PARTS}, {"parts": []}])
def test_so_is_one_that_is_more_than_text(fields: dict[str, Any]) -> None:
    message = Message(conversation_id=uuid7(), role="assistant", created_at=datetime.now(UTC), **fields)
    assert encoding.document(message) == by_schema(message)


def test_what_the_database_gives_back_is_shown_alike() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=123456)
    message = Message(conversation_id=uuid7(), role="user", created_at=when, cost_usd=Decimal("0.00000001"))
    assert encoding.document(message) == by_schema(message)
    assert '"cost_usd": 1e-08' in encoding.document(message)
