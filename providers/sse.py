"""A decoder for server-sent events, on bytes.

The SDK's own stream costs 210-260 us CPU for each token in pydantic models; this costs a few.
Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

LONGEST_EVENT = 8_000_000
"""Bytes. A provider that sends more without an event's end is broken, or wants our memory."""


class EventTooLong(ValueError):
    """An event has more than LONGEST_EVENT bytes."""


class ErrorData(bytes):
    """The data of an event that is named `error`; other names mean nothing in this protocol."""


class SSEDecoder:
    """Feed it the body as it comes, cut anywhere; it returns the `data` of each event that is complete."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        """The pieces of a line whose end has not come; joined once, since a line may come in thousands."""
        self._data: list[bytes] = []
        self._error = False
        self._size = 0
        """Bytes since the last event, but for those of its chunk."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Raises EventTooLong."""
        self._size += len(chunk)
        if self._size > LONGEST_EVENT:
            raise EventTooLong
        if b"\n" not in chunk and b"\r" not in chunk and not (self._line and self._line[-1].endswith(b"\r")):
            self._line.append(chunk)
            return []
        buffer = b"".join((*self._line, chunk)) if self._line else chunk
        if b"\r" in buffer:
            # A lone CR may be the first half of a CRLF that was cut in two: it waits for the next chunk.
            held = b"\r" if buffer.endswith(b"\r") else b""
            buffer = buffer[: len(buffer) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *lines, rest = buffer.split(b"\n")
        self._line = [rest] if rest else []
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                self._error = line[6:].strip() == b"error"
            elif not line:
                if self._data:
                    data = b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
                    events.append(ErrorData(data) if self._error else data)
                    self._data.clear()
                self._error = False
                self._size = 0
        return events

    def close(self) -> list[bytes]:
        """The last event of a stream that ended without the empty line after it."""
        return self.feed(b"\n\n") if self._line or self._data else []
