"""Limits and budgets of a key, from outside: two nodes, one database, on SQLite and on PostgreSQL."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.chatproject.apikeys.issuing import add_key
from tests.conftest import TEST_DATABASE_URL, StartServer, fake
from tests.fakes.client import Client, assert_problem
from tests.fakes.database import Database, Databases, manage
from tests.fakes.postgres import postgres
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

UNIT = Decimal("0.00000001")
QUICK, HANGS = "gpt-4o", "gpt-4o-mini"
"""Models that have a price; the second answers when the test says so."""


class Nodes(NamedTuple):
    """Two servers on one database."""

    one: Server
    other: Server

    @property
    def db(self) -> Database:
        return self.one.db

    def entries(self, key: str) -> list[dict[str, Any]]:
        """The ledger of the key."""
        prefix = key.split("_")[1]
        whose = "key_id = (SELECT id FROM apikeys_apikey WHERE prefix = ?)"
        return self.db.query(f"SELECT * FROM apikeys_ledgerentry WHERE {whose} ORDER BY turn_id", prefix)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def nodes(
    request: pytest.FixtureRequest, _provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        url = TEST_DATABASE_URL
        if request.param == "postgres" and not url:
            url = stack.enter_context(postgres())
        databases = Databases(folder, url if request.param == "postgres" else "")
        stack.callback(databases.drop)
        environment = {
            **fake(_provider),
            "CHAT_PROVIDERS": "openai,fake",
            "CHAT_DEFAULT_PROVIDER": "openai",
            "OPENAI_API_KEY": "openai-secret",
            "OPENAI_BASE_URL": _provider.url,
            "OPENAI_MODEL": QUICK,
            "OPENAI_FALLBACK_MODEL": QUICK,
        }
        one = stack.enter_context(Server(databases.new(), databases.keys, **environment))
        yield Nodes(one, stack.enter_context(one.neighbour()))


def chat(client: Client, model: str = QUICK, **fields: Any) -> httpx2.Response:
    return client.post("/api/chat", json={"message": "hello", "model": model, "max_tokens": 100_000, **fields})


def spent(entries: list[dict[str, Any]], column: str = "cost") -> Decimal:
    return sum((entry[column] or 0 for entry in entries), 0) * UNIT


def price_of_a_turn(nodes: Nodes, provider: Provider, model: str) -> Decimal:
    """What a turn reserves."""
    key = add_key(nodes.db, budget_day_usd=1000)
    provider.release()
    assert chat(nodes.one.client_with(key), model).status_code == 200
    provider.clear()
    [entry] = nodes.entries(key)
    return Decimal(entry["cost_reserved"]) * UNIT


def test_a_hundred_turns_at_once_against_a_budget_for_ten(nodes: Nodes, provider: Provider) -> None:
    price = price_of_a_turn(nodes, provider, HANGS)
    budget = round(price * Decimal("10.5"), 4)
    key = add_key(nodes.db, user="bob", budget_day_usd=str(budget))
    clients = [server.client_with(key) for server in (nodes.one, nodes.other)]
    with ThreadPoolExecutor(100) as pool:
        turns = [pool.submit(chat, clients[n % 2], HANGS, stream=n % 4 < 2) for n in range(100)]
        poll(lambda: sum(turn.done() for turn in turns) >= 90, 60, "90 answers")
        assert len(nodes.entries(key)) == 10
        assert spent(nodes.entries(key), "cost_reserved") <= budget
        provider.release()
        answers = [turn.result() for turn in turns]
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 90}
    for answer in answers:
        if answer.status_code == 429:
            assert_problem(answer, 429, "budget_exhausted")
            assert int(answer.headers["Retry-After"]) > 0
    assert len(provider.chats) == 10, "nobody pays for a turn that is refused"
    entries = nodes.entries(key)
    messages = nodes.db.query(
        "SELECT m.id, m.cost_usd FROM conversations_message m JOIN conversations_conversation c"
        " ON c.id = m.conversation_id JOIN auth_user u ON u.id = c.owner_id"
        " WHERE u.username = 'bob' AND m.role = 'assistant' ORDER BY m.id"
    )
    assert [str(entry["turn_id"]).replace("-", "") for entry in entries] == [
        str(message["id"]).replace("-", "") for message in messages
    ]
    assert all(entry["settled_at"] for entry in entries)
    assert 0 < spent(entries) == sum(round(Decimal(message["cost_usd"]), 8) for message in messages) <= budget
    assert "Every total" in manage(nodes.db.url, "check_ledger")
    assert chat(clients[0], QUICK, max_tokens=5).status_code == 200, "what they did not cost is free again"


def test_turns_at_once_and_what_ends_them(nodes: Nodes, provider: Provider) -> None:
    key = add_key(nodes.db, concurrent_turns=2)
    one, other = nodes.one.client_with(key), nodes.other.client_with(key)
    first, second = one.conversation()["id"], other.conversation()["id"]
    with one.stream(first, "hi", model=HANGS), other.stream(second, "hi", model=HANGS) as stream:
        answer_id = stream.next("message.created").data["id"]
        provider.wait(2)
        refused = chat(one)
        assert_problem(refused, 429, "too_many_turns")
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["RateLimit-Policy"] == '"concurrent-turns";q=2;qu="concurrent-turns"'
        assert other.post(f"/api/conversations/{second}/messages/{answer_id}/cancel").status_code == 200
        poll(lambda: chat(one).status_code == 200, 5, "room for another turn")
    poll(lambda: all(entry["settled_at"] for entry in nodes.entries(key)), 5, "end of the turn that was left")


def test_a_turn_whose_worker_is_killed_counts_as_reserved(nodes: Nodes, provider: Provider) -> None:
    key = add_key(nodes.db, concurrent_turns=5, budget_day_usd=1000)
    client = nodes.one.client_with(key)
    with nodes.one.neighbour() as third, third.client_with(key).stream(client.conversation()["id"], "hi", model=HANGS):
        provider.wait()
        [entry] = nodes.entries(key)
        poll(lambda: nodes.entries(key)[0]["lease_until"] != entry["lease_until"], 5, "heartbeat")
        third.kill()
    [entry] = nodes.entries(key)
    assert (entry["settled_at"], entry["cost"]) == (None, None)
    assert entry["cost_reserved"] > 0


def test_a_turn_of_a_key_with_a_budget_is_capped(nodes: Nodes, provider: Provider) -> None:
    capped, free = (nodes.one.client_with(add_key(nodes.db, **limits)) for limits in ({"budget_month_usd": 1}, {}))
    for client, own, sent in ((capped, None, 4096), (capped, 50, 50), (free, None, None)):
        assert chat(client, max_tokens=own).status_code == 200
        assert provider.last.body.get("max_completion_tokens") == sent


def test_the_dearest_of_those_who_may_be_asked_is_reserved(nodes: Nodes, provider: Provider) -> None:
    dear, cheap = price_of_a_turn(nodes, provider, QUICK), price_of_a_turn(nodes, provider, HANGS)
    assert dear == cheap, f"{QUICK} stands in for {HANGS}"


def test_a_failed_turn_costs_nothing(nodes: Nodes, provider: Provider) -> None:
    key = add_key(nodes.db, budget_day_usd=5)
    response = chat(nodes.one.client_with(key), "status-400", provider="fake")
    assert response.status_code == 400
    [entry] = nodes.entries(key)
    assert entry["settled_at"]
    assert entry["cost"] == entry["tokens"] == 0


def test_tokens_per_minute(nodes: Nodes, provider: Provider) -> None:
    key = add_key(nodes.db, tokens_per_minute=1000)
    client = nodes.one.client_with(key)
    assert chat(client, max_tokens=900).status_code == 200
    [entry] = nodes.entries(key)
    assert entry["tokens"] < 50 < 900 < entry["tokens_reserved"]
    assert chat(nodes.other.client_with(key), max_tokens=900).status_code == 200
    assert_problem(chat(client, max_tokens=1000), 429, "too_many_tokens")


def test_requests_per_minute_are_shared_and_told(nodes: Nodes) -> None:
    key = add_key(nodes.db, requests_per_minute=4)
    clients = [server.client_with(key) for server in (nodes.one, nodes.other)]
    answers = [clients[n % 2].get("/api/providers") for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    for left, answer in zip((3, 2, 1, 0, 0, 0), answers, strict=True):
        assert answer.headers["RateLimit-Policy"] == '"requests";q=4;w=60'
        found = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
        assert found
        assert int(found[1]) in {left, max(0, left - 1)}, "the minute may have turned"
        # Of a refused one until a quarter of the four is out of the minute before.
        assert 1 <= int(found[2]) <= (75 if answer.status_code == 429 else 60)
        if answer.status_code == 429:
            assert_problem(answer, 429, "too_many_requests")
            assert answer.headers["Retry-After"] == found[2]
    free = nodes.one.client().get("/api/providers")
    assert not [name for name in free.headers if "ratelimit" in name.lower()]


def test_the_openai_endpoints_tell_it_as_openai_does(nodes: Nodes) -> None:
    key = add_key(nodes.db, requests_per_minute=1)
    client = nodes.one.client_with(key)
    first, second = client.get("/v1/models"), client.get("/v1/models")
    assert [first.status_code, second.status_code] == [200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.headers["x-ratelimit-reset-requests"] == f"{second.headers['Retry-After']}s"


def test_everything_that_is_sent_is_reserved(nodes: Nodes, provider: Provider) -> None:
    """Numbers and the names of speakers are tokens as well."""
    key = add_key(nodes.db, budget_day_usd=1)
    client = nodes.one.client_with(key)
    schema = {"type": "object", "properties": {"n": {"enum": list(range(100_000, 200_000))}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert_problem(chat(client, max_tokens=1, tools=[tool]), 429, "budget_exhausted")
    said = [{"role": "user", "content": "hi", "name": "n" * 64}] * 500
    body = {"model": f"openai/{QUICK}", "messages": said, "max_tokens": 1}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert spent(nodes.entries(key), "cost_reserved") > Decimal("0.1")


def test_what_the_provider_has_counted_is_not_asked_for_again(start_server: StartServer, provider: Provider) -> None:
    """An empty answer is tried again, but not by a key whose ledger has reserved one."""
    server = start_server(CHAT_RETRIES="2")
    for limits, asked in (({}, 3), ({"tokens_per_minute": 1_000_000}, 1)):
        provider.clear()
        client = server.client_with(add_key(server.db, **limits))
        assert_problem(client.post("/api/chat", json={"message": "hello", "model": "empty"}), 502, "empty_answer")
        assert len(provider.chats) == asked
    [entry] = server.db.query("SELECT tokens, settled_at FROM apikeys_ledgerentry")
    assert entry["tokens"] > 0
    assert entry["settled_at"]
