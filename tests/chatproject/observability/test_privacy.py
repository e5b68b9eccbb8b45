"""Canaries through every situation: none may leave for Sentry or show in the log."""

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict

import httpx2
import pytest

from providers import errors
from tests.chatproject.observability.canaries import ADDRESS, Canaries, Run, canary, configuration, leaked
from tests.conftest import StartServer, fake
from tests.fakes.database import manage
from tests.fakes.echoing import KINDS, EchoingProvider
from tests.fakes.faulty import BUGS
from tests.fakes.ingest import Ingest
from tests.fakes.waiting import poll

Start = Callable[..., Run]


@pytest.fixture
def start(start_server: StartServer, ingest: Ingest) -> Iterator[Start]:
    def start(**environment: str) -> Run:
        c = Canaries()
        return Run(start_server(echoing, **{**configuration(c, ingest), **environment}), ingest, echoing, c)

    with EchoingProvider() as echoing:
        yield start


def drive(run: Run) -> None:
    c = run.canaries
    run.server.db.query("UPDATE auth_user SET username = ?, email = ? WHERE username = 'alice'", c.user, c.email)
    elsewhere(run)
    for streamed in (False, True):
        turns(run, streamed)
        tools(run, streamed)
        leave(run, streamed)
    refusals(run)
    busy(run)
    feedback(run)
    quiet(run)
    crashes(run)
    admin(run)
    commands(run)


def elsewhere(run: Run) -> None:
    """A failing turn of a client with an address of its own."""
    headers = {"Authorization": run.client.http.headers["Authorization"]}
    transport = httpx2.HTTPTransport(local_address=ADDRESS)
    with httpx2.Client(base_url=run.server.url, transport=transport, headers=headers, timeout=20) as client:
        body = {"message": run.canaries.prompt, "model": "echo-500"}
        assert client.post("/api/chat", json=body).status_code == 502


def turns(run: Run, streamed: bool) -> None:
    assert run.turn("echo", streamed) == run.turn("reply", streamed) == "completed"
    for model in (*KINDS, "echo-in-stream", "drop-mid-stream", "garbage", "hang", "gone", "status-402", "empty"):
        assert run.turn(model, streamed) in {error.code for error in errors.ALL}, model
    assert run.turn("any", streamed, provider="local") == "unreachable"
    assert (run.turn("names", streamed), run.turn("names-of-error", streamed)) == ("completed", "server_error")
    for model in BUGS:
        assert run.turn(model, streamed) == "internal_error"


def tools(run: Run, streamed: bool) -> None:
    """A turn with an image that reasons and calls a tool, and the tool's result, which the provider refuses."""
    c, conversation = run.canaries, run.conversation()
    path = f"/api/conversations/{conversation}/messages"
    function = {"name": "look_up", "description": c.tool, "parameters": {"type": "object", "title": c.tool}}
    more = {"stream": streamed, "reasoning": True, "tools": [{"type": "function", "function": function}]}
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/{c.image}.png?{c.image}"}}
    asked = {"content": [{"type": "text", "text": c.prompt}, image], "model": "calls"}
    assert run.client.post(path, json=asked | more).status_code == 200
    result = {"tool_call_id": "call_1", "content": f"Found {c.result}"}
    answers = {"tool_results": [{**result, "tool_call_id": c.result}]}, {"tool_results": [result], "model": "echo-422"}
    assert [run.client.post(path, json=a | more).status_code for a in answers] == [409, 200 if streamed else 400]
    assert run.client.messages(conversation)[1]["reasoning"] == c.thought


def leave(run: Run, streamed: bool) -> None:
    client, conversation = run.client, run.conversation()
    leave, asked = client.stream if streamed else client.asking, len(run.provider.chats)
    with leave(conversation, run.canaries.prompt, model="hang-mid-stream"):
        run.provider.wait(asked + 1)
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled")


def refusals(run: Run) -> None:
    """Each kind of 4xx by us, with canaries in what is refused."""
    client, c = run.client, run.canaries
    stranger = run.server.client_with(f"ck_{c.authorization[:8]}_{c.authorization}")
    path = f"/api/conversations/{run.conversation()}/messages"
    statuses = [
        client.post(path, content=f'{{"content": "{c.prompt}'.encode(), headers={"Content-Type": "application/json"}),
        client.post(path, json={"content": c.prompt, "provider": c.metadata}),
        stranger.get(f"/api/conversations?q={c.query}"),
        client.get(f"/api/conversations/01a20d3d-1df6-76fb-b6fa-0a88fa10974e?q={c.query}"),
        client.delete(f"/api/providers?q={c.query}"),
        client.post(path, json={"content": c.prompt * 100_000}),
        client.post(path, content=c.prompt.encode(), headers={"Content-Type": "text/plain"}),
        client.post(path, json={"content": c.prompt, c.metadata: c.prompt}),
    ]
    stranger.close()
    assert [response.status_code for response in statuses] == [400, 400, 401, 404, 405, 413, 415, 422]


def busy(run: Run) -> None:
    """A 409, with canaries in what is refused."""
    client, c, conversation = run.client, run.canaries, run.conversation()
    with client.stream(conversation, c.prompt, model="hang-mid-stream") as stream:
        stream.next("message.created")
        path = f"/api/conversations/{conversation}/messages?q={c.query}"
        assert client.post(path, json={"content": c.prompt}).status_code == 409
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled")


def feedback(run: Run) -> None:
    """What a user thinks of an answer, whose provider calls its model by our key; and one refused, with a canary."""
    client, c, conversation = run.client, run.canaries, run.conversation()
    answer = client.say(conversation, f"Grüße {c.prompt}", model="names").json()
    path = f"/api/conversations/{conversation}/messages/{answer['id']}/feedback?q={c.query}"
    assert client.post(path, json={"rating": "down", "comment": f"Not {c.comment}"}).status_code == 201
    assert client.post(path, json={"rating": c.comment, "comment": c.comment}).status_code == 422


def quiet(run: Run) -> None:
    """What makes neither a transaction nor a log line."""
    for path, status in (("/health/ready", 200), ("/static/nowhere.css", 404)):
        assert run.client.get(f"{path}?q={run.canaries.query}").status_code == status


def crashes(run: Run) -> None:
    client, c = run.client, run.canaries
    for method, path in (("GET", "/sentry-debug"), ("POST", "/broken/view"), ("POST", "/broken/sync")):
        answer = client.http.request(method, f"{path}?q={c.query}", json={"content": [c.prompt]})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert answer.json()["sentry_event_id"]
    assert client.get("/broken/row", params={"row": c.row[::-1]}).status_code == 500
    with pytest.raises(httpx2.RemoteProtocolError):
        client.post(f"/broken/stream?q={c.query}", json={"content": c.prompt})


def admin(run: Run) -> None:
    client, c = run.client, run.canaries
    assert client.get(f"/admin/?q={c.query}").status_code == 302
    login = client.get(f"/admin/login/?next={c.query}")
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)[0]
    form = {"username": c.form, "password": c.form, "csrfmiddlewaretoken": token}
    cookies = {"Cookie": f"csrftoken={login.cookies['csrftoken']}; theme={c.cookie}"}
    assert client.post("/admin/login/", data=form, headers=cookies).status_code == 200
    assert client.post("/admin/login/", data=form).status_code == 403  # no CSRF cookie
    client.post(f"/broken/sync?q={c.query}", data=form)


def commands(run: Run) -> None:
    """Those of the crontab: one that goes well, and one that tells of a provider that is away."""
    environment = {**fake(run.provider), **configuration(run.canaries, run.ingest)}
    run.printed += manage(run.server.db.url, "apply_retention", **environment)
    with pytest.raises(AssertionError, match="1 of 2 failed: local") as failed:
        manage(run.server.db.url, "probe_providers", **environment)
    run.printed += str(failed.value)


def fail_alike(run: Run) -> int:
    """More failures of one kind than a worker sends events of; returns how many it sends at once."""
    for _ in range(40):
        assert run.turn("status-500", streamed=False) == "server_error"
    return 10


def interrupt(run: Run) -> None:
    """The shutdown, in the middle of a turn; then Sentry has everything."""
    client, c = run.client, run.canaries
    with client.stream(run.conversation(), c.prompt, model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        run.server.signal(signal.SIGTERM)
        assert [event.data.get("code") for event in stream][-1] == "interrupted"
    client.close()
    assert run.server.wait() == 0


ASKED = ("prompt", "system_prompt", "provider_key", "tool", "arguments", "result", "image")
KINDS_OF_ITEM = ("event", "transaction", "log", "trace_metric", "sessions", "profile_chunk", "check_in")


def assert_sent_in_full(run: Run) -> None:
    """That the canaries were really on their way, and that the events told of everything else."""
    assert {error.code for error in errors.ALL} - {"circuit_open"} < run.codes
    asked = "".join(str(chat.body) + str(chat.headers) for chat in run.provider.chats)
    c = run.canaries
    expected = {name: value for name, value in asdict(c).items() if name in ASKED}
    assert leaked(expected, asked).keys() == expected.keys()
    assert [kind for kind in KINDS_OF_ITEM if not run.ingest.items(kind)] == []
    events = run.ingest.items("event")
    assert {"provider-error", "fake", "authentication"} in [set(event.get("fingerprint") or []) for event in events]
    reasons = [event["contexts"].get("provider_error", {}).get("reason") for event in events]
    assert (
        len([reason for reason in reasons if reason and reason.startswith("Refused: '…")]) == 2 * (len(KINDS) + 2) + 1
    )
    kinds = [event["exception"]["values"][-1]["type"] for event in events]
    assert (kinds.count("ValueError"), kinds.count("RuntimeError"), kinds.count("IntegrityError")) == (4, 4, 1)


def test_nothing_private_reaches_sentry_or_the_log_by_default(start: Start) -> None:
    run = start()
    drive(run)
    interrupt(run)
    assert_sent_in_full(run)
    never = run.canaries.texts() | run.canaries.secrets() | run.keys
    assert leaked(never, run.sent()) == {}
    assert leaked(never, run.log()) == {}
    assert run.log().count("Traceback") >= 9
    assert leaked(run.canaries.person(), run.sent()).keys() == run.canaries.person().keys()
    assert run.ingest.items("feedback") == []


def test_the_options_let_prompts_and_feedback_travel_and_keep_people_here_and_secrets_never(start: Start) -> None:
    options = {"SENTRY_INCLUDE_PROMPTS": "true", "SENTRY_SEND_FEEDBACK": "true", "SENTRY_SEND_DEFAULT_PII": "false"}
    run = start(**options, WEB_CONCURRENCY="2", LOG_FORMAT="json")
    run.client.http.headers["Connection"] = "close"  # or all would go to one worker
    drive(run)
    burst = fail_alike(run)
    interrupt(run)
    assert_sent_in_full(run)
    alike = [event for event in run.ingest.items("event") if "server_error" in event.get("fingerprint", ())]
    assert burst * 1.5 <= len(alike) <= burst * 3, "of two workers, not of one, and capped"
    comment, never = {"comment": run.canaries.comment}, run.canaries.secrets() | run.keys
    del never["comment"]
    assert leaked(never | run.canaries.person(), run.sent()) == {}
    assert leaked(never | comment, run.log()) == {}
    assert leaked(comment, run.sent(but="feedback")) == {}
    assert [item["contexts"]["feedback"]["message"] for item in run.ingest.items("feedback")] == [
        f"Not {run.canaries.comment}"
    ]
    assert leaked(run.canaries.texts(), run.sent()).keys() == run.canaries.texts().keys()


def test_an_open_circuit_tells_nothing_private(start: Start) -> None:
    run = start(CHAT_CIRCUIT_FAILURES="1")
    assert [run.turn("echo-500", streamed=False) for _ in range(2)] == ["server_error", "circuit_open"]
    assert run.turn("echo-500", streamed=True) == "circuit_open"
    run.settle()
    assert len(run.ingest.items("event")) == 3
    never = run.canaries.texts() | run.canaries.secrets() | run.keys
    assert leaked(never, run.sent() + run.log()) == {}


PATHS = ("/{}", "/api/{}", "/api/conversations/{}", "/api/conversations/{}/messages", "/admin/{}/", "/%0A{}%3Fq")


def test_a_path_travels_as_its_callers_own_and_its_query_string_does_not(start: Start) -> None:
    run, path = start(), canary()
    client, c = run.client, run.canaries
    for template in PATHS:
        url = f"{template.format(path)}?q={c.query}"
        assert client.get(url).status_code == (302 if template.startswith("/admin/") else 404)
        assert client.post(url, json={"content": c.prompt}).status_code in {302, 403, 404}
    assert client.get(f"/?q={c.query}", headers={"Host": f"{path}.example.com"}).status_code == 400
    run.settle()
    assert len(run.ingest.items("transaction")) == 2 * len(PATHS) + 1
    never = c.texts() | c.secrets() | run.keys
    assert leaked(never, run.sent() + run.log()) == {}
    assert [line for line in run.log().splitlines() if line.startswith(path)] == [], "a forged line"
    # A name that is a path says so; Sentry groups those itself.
    named = [t for t in run.ingest.items("transaction") if path in t["transaction"]]
    assert {t["transaction_info"]["source"] for t in named} == {"url"}
