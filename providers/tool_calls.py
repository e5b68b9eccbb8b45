"""The pieces of tool calls in a stream, numbered.

OpenAI gives each call an index. Others leave it out, or give every call the same one (Ollama, Gemini),
and some repeat id and name in every piece: whoever joins the pieces by index would mix the calls up.
"""

import json
from typing import Any

from providers.base import EXTRA, ToolCallDelta
from providers.strings import clean, string

LONGEST_EXTRA = 50_000
"""Characters. A thought signature has some thousands."""

MOST_NESTED = 100
"""Arrays and objects in an extra; so many levels at most can be walked through."""

MOST_CALLS = 128
"""In one answer; OpenAI takes no more tools than that."""


class ToolCalls:
    """Reads the pieces of one answer. The calls count from 0, and the id and the name of each come once."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._names: list[str] = []
        self._numbers: dict[int, int] = {}
        """Of the call that the provider's index stands for at present."""

    @property
    def nameless(self) -> bool:
        """Whether there is a call of nothing."""
        return "" in self._names

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
            extra=_extra(piece.get(EXTRA)),
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
        same = [number for number, known in enumerate(self._ids) if known == call_id] if call_id else []
        if same and self._goes_on(same[-1], call_id, name):
            return same[-1]
        # Without an index, what names itself is a new call and what does not goes on with the last one.
        return self._new() if call_id or name or not self._ids else len(self._ids) - 1

    def _goes_on(self, number: int, call_id: str, name: str) -> bool:
        """Whether a piece with this id and name is one more of that call."""
        return (not call_id or self._ids[number] in {"", call_id}) and (not name or self._names[number] in {"", name})

    def _new(self) -> int:
        if len(self._ids) >= MOST_CALLS:
            raise ValueError("too many tool calls")
        self._ids.append("")
        self._names.append("")
        return len(self._ids) - 1


def _extra(value: object) -> dict[str, Any] | None:
    """None for what is no object, or none that can be kept. Raises ValueError for numbers that JSON does not have."""
    if not isinstance(value, dict) or not value:
        return None
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(text) > LONGEST_EXTRA or text.count("{") + text.count("[") > MOST_NESTED or "\\u0000" in text:
        return None
    return dict(json.loads(clean(text)))


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else clean(json.dumps(value))
