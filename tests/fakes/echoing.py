"""A provider whose errors repeat all that it was sent, the way real ones repeat parts of it."""

import asyncio
import json
from urllib.parse import quote

from tests.fakes.behaviours import PARTIAL
from tests.fakes.exchange import Exchange
from tests.fakes.provider import Provider, Received

KINDS = {
    "echo-400": (400, None),
    "echo-400-context": (400, "context_length_exceeded"),
    "echo-400-filter": (400, "content_filter"),
    "echo-401": (401, "invalid_api_key"),
    "echo-403": (403, None),
    "echo-404": (404, "model_not_found"),
    "echo-408": (408, None),
    "echo-413": (413, None),
    "echo-422": (422, None),
    "echo-429": (429, "rate_limit_exceeded"),
    "echo-500": (500, None),
    "echo-503": (503, None),
}
"""Model -> (HTTP status, code) of the error. `echo-in-stream` answers 200, says `reply` and breaks off with one."""


class EchoingProvider(Provider):
    """Behaves like Provider for every other model, but `reply`, which answers with `reply`, `calls`, which reasons
    and calls a tool, and `names`, which repeats the key and the prompt where names belong.
    """

    reply = thought = arguments = PARTIAL

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        model = request.body.get("model", "")
        exchange = Exchange(writer, self._gate, request.body)
        if model in KINDS:
            status, code = KINDS[model]
            await exchange.json(status, {"error": {"message": echo(request), "code": code}})
        elif model in {"reply", "echo-in-stream"}:
            await exchange.start()
            await exchange.token(self.reply)
            if model == "reply":
                await exchange.stop()
            else:
                await exchange.data(json.dumps({"error": {"message": f"{echo(request)[:300]} {self.reply}"}}))
                await exchange.end()
        elif model == "calls":
            await exchange.start()
            await exchange.delta({"reasoning_content": self.thought})
            function = {"name": "look_up", "arguments": json.dumps({"what": self.arguments})}
            await exchange.delta({"tool_calls": [{"index": 0, "id": "call_1", "function": function}]})
            await exchange.stop("tool_calls")
        elif model == "names":
            await exchange.start()
            exchange.model = request.headers["authorization"].removeprefix("Bearer ")
            await exchange.token(self.reply)
            await exchange.stop(request.messages[-1]["content"])
        elif model == "names-of-error":
            await exchange.json(500, {"error": {}}, {"x-request-id": request.headers["authorization"]})
        else:
            return await super()._answer(request, writer)
        return True


def echo(request: Received) -> str:
    """The last words first, since the server looks at the beginning of a long text only."""
    key, messages = request.headers["authorization"], [message["content"] for message in request.messages]
    last = messages[-1]
    told = f"{last!r} {json.dumps(last)} {quote(str(last))} {key} {key[7:19]}***{key[-4:]} {messages}"
    parameters = {name: value for name, value in request.body.items() if name not in {"messages", "model", "stream"}}
    return f"Refused: {told} {json.dumps(parameters)} {json.dumps(request.messages[-3:])}"
