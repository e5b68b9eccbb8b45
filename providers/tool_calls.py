"""The pieces of tool calls in a stream, numbered.

OpenAI gives each call an index. Others leave it out, or give every call the same one (Ollama, Gemini),
and some repeat id and name in every piece: whoever joins the pieces by index would mix the calls up.
"""

import json
from typing import Any

from providers.base import ToolCallDelta
from providers.strings import clean, string

LONGEST_EXTRA = 50_000
"""Characters. A thought signature has some thousands."""

MOST_CALLS = 128
"""In one answer; OpenAI takes no more tools than that."""


class ToolCalls:
    """Reads the pieces of one answer. The calls count from 0, and the id and the name of each come once."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._names: list[str] = []
        self._numbers: dict[int, int] = {}
        """Of the call that the provider's index stands for at present."""

    def read(self, pieces: list[dict[str, Any]]) -> tuple[ToolCallDelta, ...]:
        """Raises ValueError for too many calls, and TypeError or AttributeError for pieces that are none."""
        return tuple(map(self._read, pieces))

    def _read(self, piece: dict[str, Any]) -> ToolCallDelta:
        function = piece.get("function") or {}
        call_id, name = string(piece.get("id")) or "", string(function.get("name")) or ""
        number = self._number(piece.get("index"), call_id, name)
        delta = ToolCallDelta(
            number,
            id="" if self._ids[number] else call_id,
            name="" if self._names[number] else name,
            arguments=_arguments(function.get("arguments")),
            extra=_extra(piece.get("extra_content")),
        )
        self._ids[number] = self._ids[number] or call_id
        self._names[number] = self._names[number] or name
        return delta

    def _number(self, index: object, call_id: str, name: str) -> int:
        if isinstance(index, int):
            number = self._numbers.get(index)
            if number is not None and self._goes_on(number, call_id, name):
                return number
            self._numbers[index] = number = self._new()
            return number
        if call_id in self._ids and call_id:
            return self._ids.index(call_id)
        # Without an index, what names itself is a new call and what does not goes on with the last one.
        return self._new() if call_id or name or not self._ids else len(self._ids) - 1

    def _goes_on(self, number: int, call_id: str, name: str) -> bool:
        """Whether a piece with this id and name is one more of that call."""
        same_id = not call_id or self._ids[number] in {"", call_id}
        return same_id and (bool(call_id) or not name or self._names[number] in {"", name})

    def _new(self) -> int:
        if len(self._ids) >= MOST_CALLS:
            raise ValueError("too many tool calls")
        self._ids.append("")
        self._names.append("")
        return len(self._ids) - 1


def _extra(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) and value and len(json.dumps(value)) <= LONGEST_EXTRA else None


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else clean(json.dumps(value))
