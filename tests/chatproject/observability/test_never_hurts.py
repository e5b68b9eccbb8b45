"""A Sentry that is away, or telemetry that breaks, costs no request and no shutdown."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sentry_sdk

from chatproject.observability import context
from chatproject.observability.gen_ai import GenAISpan
from tests.conftest import StartServer
from tests.fakes.client import Client, Json
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.ports import free_port
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

TURNS = 96
GRACEFUL_TIMEOUT = 10


@pytest.fixture(params=["refusing", "hanging", "429", "500", "nowhere"])
def bad_dsn(request: pytest.FixtureRequest, ingest: Ingest) -> str:
    """The DSN of a Sentry that takes nothing."""
    if request.param == "nowhere":
        return f"http://{KEY}@sentry.invalid/1"
    if request.param == "refusing":
        return f"http://{KEY}@127.0.0.1:{free_port()}/1"
    if request.param == "hanging":
        ingest.hang()
    else:
        ingest.answer(int(request.param))
    return ingest.dsn


def statuses(server: Server, turns: int) -> list[int]:
    """Of that many turns, every fourth of which fails at the provider, by four clients at once."""
    clients = [server.client() for _ in range(4)]

    def some(client: Client) -> list[int]:
        body = {"message": "hello"}
        models = ["tokens-5", "tokens-5", "status-500", "tokens-5"]
        answers = [client.post("/api/chat", json=body | {"model": models[n % 4]}) for n in range(turns // 4)]
        client.close()  # gunicorn would wait for an idle connection
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(4) as pool:
        return [status for answers in pool.map(some, clients) for status in answers]


def stop(server: Server) -> float:
    """Seconds it takes; not killed for it."""
    started = time.monotonic()
    assert server.terminate() == 0
    assert "SIGKILL" not in server.log()
    assert "Worker exiting" in server.log()
    return time.monotonic() - started


def test_a_sentry_that_is_away_costs_no_request_and_no_shutdown(start_server: StartServer, bad_dsn: str) -> None:
    server = start_server(SENTRY_DSN=bad_dsn, GRACEFUL_TIMEOUT=str(GRACEFUL_TIMEOUT))
    answers = statuses(server, TURNS)
    assert (answers.count(200), answers.count(502)) == (TURNS * 3 // 4, TURNS // 4)
    assert stop(server) < GRACEFUL_TIMEOUT
    assert "Traceback" not in server.log()


def test_a_shutdown_in_the_middle_of_a_turn_ends_in_time_when_sentry_hangs(
    start_server: StartServer, ingest: Ingest, provider: Provider
) -> None:
    ingest.hang()
    server = start_server(SENTRY_DSN=ingest.dsn, GRACEFUL_TIMEOUT=str(GRACEFUL_TIMEOUT))
    client = server.client()
    client.say(client.conversation()["id"], "go", model="status-500")
    with client.stream(client.conversation()["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        assert list(stream)[-1].data["code"] == "interrupted"
    client.close()
    assert server.wait() == 0
    assert time.monotonic() - started < GRACEFUL_TIMEOUT
    assert "Worker exiting" in server.log()  # by itself, not killed for it


def test_an_event_that_sentry_asked_us_to_hold_back_has_no_id(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_EVENT_BURST="0")
    client = server.client()
    ingest.answer(429, {"Retry-After": "600", "X-Sentry-Rate-Limits": "600:error:organization"})

    def failed() -> Json:
        return dict(client.post("/api/chat", json={"message": "hi", "model": "status-500"}).json())

    assert failed()["sentry_event_id"], "nobody knows of the limit yet"
    poll(lambda: not failed().get("sentry_event_id"), what="event held back")
    assert not client.get("/sentry-debug").json().get("sentry_event_id")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_cannot_be_decoded_changes_nothing_for_its_user(
    start_server: StartServer, ingest: Ingest, stream: bool
) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn).client()
    body = {"message": "&#" + "9" * 5_000 + ";", "model": "status-500", "stream": stream}
    answer = client.post("/api/chat", json=body)
    assert answer.status_code == (200 if stream else 502)
    [event] = ingest.wait("event")
    assert event["contexts"]["provider_error"]["reason"] == "…"
    assert event["event_id"] in answer.text


# Telemetry that breaks


class Unserialisable(dict[str, Any]):
    """Raises whatever is asked of it."""

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("not to be iterated")

    keys = values = items = __repr__ = __str__ = __iter__  # type: ignore[assignment]


class Repr:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")


@pytest.fixture
def sdk(ingest: Ingest) -> Iterator[Ingest]:
    """The SDK in this process, and the Sentry it reports to."""

    def broken(event: Any, hint: Any) -> Any:
        raise RuntimeError("a bug in before_send")

    with sentry_sdk.isolation_scope():
        sentry_sdk.init(
            dsn=ingest.dsn,
            traces_sample_rate=1.0,
            before_send=broken,
            default_integrations=False,
            stream_gen_ai_spans=False,
        )
        yield ingest
        sentry_sdk.get_client().close(timeout=5)
        sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def working_sdk(sdk: Ingest) -> Ingest:
    sentry_sdk.get_client().options["before_send"] = None
    return sdk


def test_a_broken_before_send_costs_the_event_alone(sdk: Ingest) -> None:
    assert context.capture(ValueError("x")) is None
    assert context.last_event_id() is None


@pytest.mark.parametrize("values", [Unserialisable(), {"a": Repr(), "b": Unserialisable()}, {Repr(): 1}, None, 7])
def test_a_context_that_cannot_be_serialised_costs_itself_alone(working_sdk: Ingest, values: Any) -> None:
    context.contexts(lambda: {"odd": values})
    context.contexts(lambda: {"fine": {"a": 1}})
    event_id = context.capture(ValueError("x"))
    [event] = working_sdk.wait("event")
    assert event["event_id"] == event_id
    assert event["contexts"]["fine"] == {"a": 1}


def test_details_that_cannot_be_made_cost_themselves_alone(working_sdk: Ingest) -> None:
    context.contexts(lambda: {"odd": {"never": 1 / 0}})
    assert context.capture(ValueError("x")) is not None
    [event] = working_sdk.wait("event")
    assert "odd" not in event["contexts"]


def test_odd_values_break_no_helper(working_sdk: Ingest) -> None:
    odd: Any = Repr()
    with sentry_sdk.start_transaction(name="t"):
        context.tag(provider=odd)
        context.breadcrumb(odd, data=odd)
        context.user(odd, odd, odd)
        context.fail_transaction()
        span = GenAISpan(provider=odd, model="m", conversation_id=odd, streaming=True)
        span.set(odd)
        span.messages(odd, odd, odd, odd)
        span.finish(outcome=odd, failed=False)
    assert len(context.trace_id()) == 32
    [transaction] = working_sdk.wait("transaction")
    assert [span["op"] for span in transaction["spans"]] == ["gen_ai.chat"]


def test_a_span_that_cannot_be_opened_breaks_nothing(working_sdk: Ingest) -> None:
    with sentry_sdk.start_transaction(name="t"):
        model: Any = type("Model", (), {"__format__": lambda self, spec: 1 / 0})()
        span = GenAISpan(provider="p", model=model, conversation_id="c", streaming=False)
        span.finish(outcome="completed", failed=False)


def test_the_servers_own_before_send_may_break(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, DJANGO_SETTINGS_MODULE="tests.fakes.broken_sentry")
    client = server.client()
    failed = client.say(client.conversation()["id"], "go", model="status-500")
    assert (failed.status_code, failed.json().get("sentry_event_id")) == (502, None)
    crashed = client.get("/sentry-debug")
    assert (crashed.status_code, crashed.json().get("sentry_event_id")) == (500, None)
    assert client.say(client.conversation()["id"], "go", model="echo").status_code == 200
    poll(lambda: len(ingest.items("transaction")) >= 3, what="transactions")
    assert ingest.items("event") == []
