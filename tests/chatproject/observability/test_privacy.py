"""Canaries through every situation: none may leave for Sentry or show in the log."""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import httpx2
import pytest

from providers import errors
from tests.conftest import StartServer
from tests.fakes.echoing import KINDS, EchoingProvider
from tests.fakes.faulty import BUGS
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.server import Server
from tests.fakes.waiting import poll

ADDRESS = "127.0.0.77"
"""Of a client that can be told from everything else on the loopback."""


def canary() -> str:
    return secrets.token_hex(12)


@dataclass(frozen=True)
class Canaries:
    """A unique string for each thing that must not travel."""

    prompt: str = field(default_factory=canary)
    system_prompt: str = field(default_factory=canary)
    reply: str = field(default_factory=canary)
    metadata: str = field(default_factory=canary)
    title: str = field(default_factory=canary)
    provider_key: str = field(default_factory=canary)
    cookie: str = field(default_factory=canary)
    header: str = field(default_factory=canary)
    authorization: str = field(default_factory=canary)
    query: str = field(default_factory=canary)
    form: str = field(default_factory=canary)
    row: str = field(default_factory=canary)
    comment: str = field(default_factory=canary)
    secret_key: str = field(default_factory=canary)
    database_password: str = field(default_factory=canary)
    dsn_secret: str = field(default_factory=canary)
    user: str = field(default_factory=canary)
    email: str = field(default_factory=canary)

    def texts(self) -> dict[str, str]:
        """What SENTRY_INCLUDE_PROMPTS lets travel."""
        return {"prompt": self.prompt, "system_prompt": self.system_prompt, "reply": self.reply}

    def person(self) -> dict[str, str]:
        """What SENTRY_SEND_DEFAULT_PII lets travel."""
        return {"user": self.user, "email": self.email, "address": ADDRESS}

    def secrets(self) -> dict[str, str]:
        """What never travels."""
        allowed = self.texts() | self.person()
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in allowed}


@dataclass
class Run:
    """A server with canaries in its configuration, its Sentry, and what is sent through it."""

    server: Server
    ingest: Ingest
    provider: EchoingProvider
    canaries: Canaries
    codes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        c = self.canaries
        self.provider.reply = c.reply
        self.client = self.server.client()
        headers = {"Cookie": f"sessionid={c.cookie}; theme={c.cookie}", "X-Tenant": c.header}
        self.client.http.headers.update({**headers, "X-Forwarded-For": ADDRESS, "X-Real-IP": ADDRESS})

    @property
    def keys(self) -> dict[str, str]:
        """The API keys' secret parts, and that of the DSN."""
        secret = self.client.http.headers["Authorization"].split("_")[2]
        return {"api_key": secret, "dsn_key": KEY}

    def conversation(self) -> str:
        c = self.canaries
        metadata = {"note": f"Grüße {c.metadata}", c.metadata: [1, {"deep": c.metadata}]}
        return str(self.client.conversation(title=c.title, system_prompt=c.system_prompt, metadata=metadata)["id"])

    def turn(self, model: str, streamed: bool, **more: Any) -> str:
        """One turn in a conversation of its own; its outcome or its problem's code."""
        body = {"content": f"Grüße „{self.canaries.prompt}“", "model": model, "stream": streamed, **more}
        path = f"/api/conversations/{self.conversation()}/messages?q={self.canaries.query}"
        response = self.client.post(path, json=body)
        last = json.loads(re.findall(r"data: (.*)", response.text)[-1]) if streamed else response.json()
        code = str(last.get("code") or last["status"])
        self.codes.add(code)
        return code

    def settle(self) -> None:
        """Waits until Sentry has everything, which the shutdown sees to."""
        self.client.close()  # gunicorn would wait for an idle connection
        assert self.server.terminate() == 0

    def sent(self) -> str:
        """All that left for Sentry, but for the public key in the header of an envelope, where it belongs."""
        bodies = []
        for body in self.ingest.raw:
            header, _, items = body.partition(b"\n")
            bodies.append(header.replace(f'"public_key":"{KEY}"'.encode(), b"") + b"\n" + items)
        return b"\n".join(bodies).decode()


@pytest.fixture
def echoing() -> Iterator[EchoingProvider]:
    with EchoingProvider() as provider:
        yield provider


@pytest.fixture
def start(start_server: StartServer, ingest: Ingest, echoing: EchoingProvider) -> Any:
    def start(**environment: str) -> Run:
        c = Canaries()
        configuration = {
            "DJANGO_SETTINGS_MODULE": "tests.fakes.faulty_settings",
            "SECRET_KEY": c.secret_key,
            "FAKE_API_KEY": c.provider_key,
            "CHAT_READ_TIMEOUT": "2",
            "SENTRY_SEND_FEEDBACK": "false",
            "SENTRY_DSN": ingest.dsn.replace(KEY, f"{KEY}:{c.dsn_secret}"),
        }
        return Run(start_server(echoing, **{**configuration, **environment}), ingest, echoing, c)

    return start


def leaked(canaries: dict[str, str], where: str) -> dict[str, str]:
    """Each of the canaries that is there, or half of one, with what is around it."""
    found = {}
    for name, value in canaries.items():
        halves = f"{value[: len(value) // 2]}|{value[len(value) // 2 :]}" if value.isalnum() else re.escape(value)
        if match := re.search(halves, where, re.I):
            found[name] = where[max(0, match.start() - 200) : match.end() + 50]
    return found


def drive(run: Run) -> None:
    c = run.canaries
    run.server.db.query("UPDATE auth_user SET username = ?, email = ? WHERE username = 'alice'", c.user, c.email)
    elsewhere(run)
    for streamed in (False, True):
        turns(run, streamed)
        leave(run, streamed)
    refusals(run)
    busy(run)
    feedback(run)
    crashes(run)
    admin(run)


def elsewhere(run: Run) -> None:
    """A failing turn of a client with an address of its own."""
    headers = {"Authorization": run.client.http.headers["Authorization"]}
    transport = httpx2.HTTPTransport(local_address=ADDRESS)
    with httpx2.Client(base_url=run.server.url, transport=transport, headers=headers, timeout=20) as client:
        body = {"message": run.canaries.prompt, "model": "echo-500"}
        assert client.post("/api/chat", json=body).status_code == 502


def turns(run: Run, streamed: bool) -> None:
    assert run.turn("echo", streamed) == run.turn("reply", streamed) == "completed"
    for model in (*KINDS, "echo-in-stream", "drop-mid-stream", "garbage", "hang", "gone"):
        assert run.turn(model, streamed) in {error.code for error in errors.ALL}, model
    assert run.turn("any", streamed, provider="local") == "unreachable"
    assert (run.turn("names", streamed), run.turn("names-of-error", streamed)) == ("completed", "server_error")
    for model in BUGS:
        assert run.turn(model, streamed) == "internal_error"


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
    """What a user thinks of an answer: kept here by SENTRY_SEND_FEEDBACK=false, and refused with a canary in it."""
    client, c, conversation = run.client, run.canaries, run.conversation()
    answer = client.say(conversation, c.prompt).json()
    path = f"/api/conversations/{conversation}/messages/{answer['id']}/feedback?q={c.query}"
    assert client.post(path, json={"rating": "down", "comment": f"Not {c.comment}"}).status_code == 201
    assert client.post(path, json={"rating": c.comment, "comment": c.comment}).status_code == 422


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


KINDS_OF_ITEM = ("event", "transaction", "log", "trace_metric", "sessions", "profile_chunk")


def assert_sent_in_full(run: Run) -> None:
    """That the canaries were really on their way, and that the events told of everything else."""
    assert {error.code for error in errors.ALL} < run.codes
    asked = "".join(str(chat.body) + str(chat.headers) for chat in run.provider.chats)
    c = run.canaries
    expected = {"prompt": c.prompt, "system_prompt": c.system_prompt, "key": c.provider_key}
    assert leaked(expected, asked).keys() == expected.keys()
    assert [kind for kind in KINDS_OF_ITEM if not run.ingest.items(kind)] == []
    events = run.ingest.items("event")
    assert {"provider-error", "fake", "authentication"} in [set(event.get("fingerprint") or []) for event in events]
    reasons = [event["contexts"].get("provider_error", {}).get("reason") for event in events]
    assert (
        len([reason for reason in reasons if reason and reason.startswith("Refused: '…")]) == 2 * (len(KINDS) + 1) + 1
    )
    kinds = [event["exception"]["values"][-1]["type"] for event in events]
    assert (kinds.count("ValueError"), kinds.count("RuntimeError"), kinds.count("IntegrityError")) == (4, 4, 1)


def test_nothing_private_reaches_sentry_or_the_log_by_default(start: Any) -> None:
    run = start()
    drive(run)
    run.settle()
    assert_sent_in_full(run)
    never = run.canaries.texts() | run.canaries.secrets() | run.keys
    assert leaked(never, run.sent()) == {}
    assert leaked(never, run.server.log()) == {}
    assert run.server.log().count("Traceback") >= 9
    assert leaked(run.canaries.person(), run.sent()).keys() == run.canaries.person().keys()


def test_the_options_let_prompts_travel_and_keep_people_here_and_secrets_never(start: Any) -> None:
    run = start(SENTRY_INCLUDE_PROMPTS="true", SENTRY_SEND_DEFAULT_PII="false")
    drive(run)
    run.settle()
    assert_sent_in_full(run)
    assert leaked(run.canaries.secrets() | run.canaries.person() | run.keys, run.sent()) == {}
    assert leaked(run.canaries.secrets() | run.keys, run.server.log()) == {}
    assert leaked(run.canaries.texts(), run.sent()).keys() == run.canaries.texts().keys()


@pytest.mark.parametrize(
    "url", ["postgres://{user}:{password}@127.0.0.1:1/chat", "postgres://{user}:{password}@no.invalid/c"]
)
def test_a_database_that_is_down_tells_nothing_private(start: Any, url: str) -> None:
    password, user = canary(), canary()
    run = start(DATABASE_URL=url.format(user=user, password=password))
    c = run.canaries
    assert run.client.post(f"/api/chat?q={c.query}", json={"message": c.prompt}).status_code == 503
    assert run.client.post("/api/chat", json={"message": c.prompt, "stream": True}).status_code == 503
    assert run.client.get(f"/admin/login/?q={c.query}").status_code == 500
    assert run.client.post("/broken/view", json={"content": c.prompt}).status_code == 500  # its text has the password
    run.settle()
    assert len(run.ingest.items("event")) == 4
    never = c.texts() | c.secrets() | run.keys | {"password": password}
    assert leaked(never, run.sent() + run.server.log()) == {}


def test_a_turn_that_cannot_be_stored_tells_nothing_private(start: Any) -> None:
    run = start()
    path, c = f"/api/conversations/{run.conversation()}/messages", run.canaries
    with run.client.http.stream(
        "POST", path, json={"content": c.prompt, "stream": True, "model": "hang-mid-stream"}
    ) as s:
        lines = s.iter_lines()
        assert "event: message.delta" in lines
        run.server.db.query("ALTER TABLE conversations_message RENAME TO gone")
        run.provider.release()
        assert any("database_unavailable" in line for line in lines)
    run.settle()
    assert len(run.ingest.items("event")) == 1
    assert leaked(c.texts() | c.secrets() | run.keys, run.sent() + run.server.log()) == {}
