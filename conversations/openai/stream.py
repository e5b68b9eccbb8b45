"""A turn as OpenAI streams it: chunks with deltas, a last one with the finish reason, `[DONE]`.

A failure before the first token is an answer with its own status, as with OpenAI; one in the middle is an event
`{"error": ...}`, which the official clients raise.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from json.encoder import encode_basestring  # json.dumps makes an encoder for each token
from typing import Any

from django.http import StreamingHttpResponse

from chatproject import openai_errors
from chatproject.problems import Problem
from conversations import turns
from conversations.events import CONTENT_TYPE, HEADERS
from conversations.openai import documents
from conversations.outbox import PING_SECONDS, Outbox
from conversations.turn import Turn
from providers.base import ToolCallDelta

DONE = b"data: [DONE]\n\n"


class Chunks(Outbox):
    """Takes an answer while it comes, as its chunks."""

    def __init__(self, turn: Turn, *, usage: bool) -> None:
        super().__init__()
        self._turn = turn
        self._usage = usage
        self._common: dict[str, Any] = {}
        """What all chunks have; there from the first on, which knows the model's full name."""
        self._head = self._tail = ""
        """What is around the delta of a chunk, encoded once."""
        self._calls: set[int] = set()

    def text(self, piece: str) -> None:
        field = "refusal" if self._turn.answer.refused else "content"
        self._delta(f'{{"{field}": {encode_basestring(piece)}}}')

    def reasoning(self, piece: str) -> None:
        self._delta(f'{{"reasoning_content": {encode_basestring(piece)}}}')

    def tool_calls(self, pieces: tuple[ToolCallDelta, ...]) -> None:
        self._delta(json.dumps({"tool_calls": [self._call(piece) for piece in pieces]}, ensure_ascii=False))

    def last(self) -> bytes:
        """The end of a turn that is complete."""
        self._begin()
        end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": self._turn.message.finish_reason}
        null = {"usage": None} if self._usage else {}
        self.put(data(self._common | {"choices": [end]} | null))
        if self._usage:
            self.put(data(self._common | {"choices": [], "usage": documents.usage(self._turn)}))
        self.put(DONE)
        return self.taken()

    def _delta(self, delta: str) -> None:
        self._begin()
        self.put(f"data: {self._head}{delta}{self._tail}\n\n".encode())

    def _begin(self) -> None:
        """Sends the role, before all else."""
        if self._common:
            return
        self._common = {
            "id": documents.completion_id(self._turn),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._turn.answer.model or self._turn.request.model,
        }
        common = json.dumps(self._common, ensure_ascii=False).removesuffix("}")
        self._head = f'{common}, "choices": [{{"index": 0, "delta": '
        self._tail = ', "logprobs": null, "finish_reason": null}]' + (', "usage": null}' if self._usage else "}")
        self._delta('{"role": "assistant", "content": ""}')

    def _call(self, piece: ToolCallDelta) -> dict[str, Any]:
        """The first piece of a call has its id, which the answer has settled."""
        function = {"arguments": piece.arguments}
        if piece.name:
            function = {"name": piece.name, **function}
        found: dict[str, Any] = {"index": piece.index, "function": function}
        if piece.index not in self._calls:
            self._calls.add(piece.index)
            call = {"id": self._turn.answer.calls[piece.index].id, "type": "function"}
            found = {"index": piece.index, **call, "function": function}
        return found | {"extra_content": piece.extra} if piece.extra else found


class CompletionStream(StreamingHttpResponse):
    """Runs the turn in a task of its own and sends its chunks. A reader who leaves cancels the turn."""

    def __init__(self, turn: Turn, *, usage: bool) -> None:
        super().__init__(content_type=CONTENT_TYPE, headers=HEADERS)
        self.on_end: Callable[[], None] = lambda: None
        self._turn = turn
        self._chunks = Chunks(turn, usage=usage)
        self._first: bytes | None = None
        """What has come before the answer's head goes out."""
        self._task = asyncio.create_task(turns.run(turn, self._chunks))
        self._task.add_done_callback(lambda _: self._chunks.close())

    async def begin(self) -> None:
        """Waits for the first token, at most PING_SECONDS. Raises the Problem of a turn that has failed without any."""
        try:
            self._first = await self._chunks.take(PING_SECONDS)
            if self._first is None and (problem := await self._task):
                raise problem
        except asyncio.CancelledError:
            await self._leave()
            raise
        for name, value in documents.headers(self._turn).items():
            self[name] = value

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields bytes, past Django's own wrappers. Django closes this generator itself, in the request's task."""
        try:
            chunks = self._first
            while chunks is not None:
                yield chunks or b": ping\n\n"
                chunks = await self._chunks.take(PING_SECONDS)
            problem = await self._task
            yield self._chunks.last() if problem is None else self._failure(problem)
        finally:
            try:
                await self._leave()
            finally:  # whoever cancels again need not wait
                self.on_end()

    def _failure(self, problem: Problem) -> bytes:
        return data(openai_errors.error(problem.document(self._turn.message.request_id))) + DONE

    async def _leave(self) -> None:
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})


def data(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()
