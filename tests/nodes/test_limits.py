"""Limits and circuits hold for the nodes together, with Redis and without."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.chatproject.apikeys.issuing import add_key
from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.redis import Redis
from tests.fakes.waiting import poll
from tests.nodes.cluster import CIRCUIT_FAILURES, MODEL, Cluster
from tests.nodes.load import Load


def chat(client: Client, model: str = "echo", **fields: Any) -> Any:
    return client.post("/api/chat", json={"message": "hello", "model": model, **fields})


def test_requests_per_minute(either: Cluster) -> None:
    limit = 10
    clients = either.clients(add_key(either.db, requests_per_minute=limit))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: clients[n % 2].get("/api/providers").status_code, range(40)))
    assert Counter(answers) == {200: limit, 429: 30}


def test_turns_at_once(either: Cluster, provider: Provider) -> None:
    limit = 4
    clients = either.clients(add_key(either.db, concurrent_turns=limit))
    with ThreadPoolExecutor(12) as pool:
        turns = [pool.submit(chat, clients[n % 2], "hang", stream=n % 4 < 2) for n in range(12)]
        poll(lambda: sum(turn.done() for turn in turns) == 12 - limit, 20, "refusals")
        provider.release()
        assert Counter(turn.result().status_code for turn in turns) == {200: limit, 429: 12 - limit}
    assert len(provider.chats) == limit


def test_a_budget(either: Cluster, provider: Provider) -> None:
    def ask(client: Client) -> Any:
        return chat(client, MODEL, provider="openai", max_tokens=100_000)

    provider.release()
    key = add_key(either.db, budget_day_usd=1000)
    assert ask(either.clients(key)[0]).status_code == 200
    entries = (
        "SELECT cost_reserved FROM apikeys_ledgerentry WHERE key_id = (SELECT id FROM apikeys_apikey WHERE prefix = ?)"
    )
    [entry] = either.db.query(entries, key.split("_")[1])
    provider.clear()
    key = add_key(either.db, budget_day_usd=str(round(entry["cost_reserved"] * 4.5 / 10**8, 4)))
    clients = either.clients(key)
    with ThreadPoolExecutor(12) as pool:
        turns = [pool.submit(ask, clients[n % 2]) for n in range(12)]
        poll(lambda: sum(turn.done() for turn in turns) == 8, 20, "refusals")
        assert len(either.db.query(entries, key.split("_")[1])) == 4
        provider.release()
        assert Counter(turn.result().status_code for turn in turns) == {200: 4, 429: 8}


def test_a_circuit_opens_for_all_and_closes_for_all(either: Cluster, provider: Provider) -> None:
    model = f"flaky-{CIRCUIT_FAILURES}"
    everywhere = either.clients() * 2  # both workers of each, as far as that shows
    for client in everywhere[:CIRCUIT_FAILURES]:
        assert_problem(chat(client, model), 502, "server_error")
    for client in everywhere:
        poll(lambda client=client: chat(client, model).json().get("code") == "circuit_open", what="open circuit")
    for client in everywhere:
        poll(lambda client=client: chat(client, model).status_code == 200, what="closed circuit")


def test_a_redis_that_dies_under_load_costs_nothing(redis_cluster: Cluster, cache: Redis, provider: Provider) -> None:
    limit = 1_000_000
    key = add_key(redis_cluster.db, requests_per_minute=limit)
    with Load(redis_cluster.url, key) as load:
        load.go_on()
        with cache.dead():
            load.go_on()
        load.go_on()
    assert load.failures == []


def test_requests_keep_their_connection_to_redis(redis_cluster: Cluster, cache: Redis) -> None:
    client, _ = redis_cluster.clients(add_key(redis_cluster.db, requests_per_minute=1000))
    before = cache.info("total_connections_received")
    for _ in range(50):
        assert client.get("/api/providers").status_code == 200
    made = cache.info("total_connections_received") - before
    assert made <= 20, "one for each thread of the database, and this test's own"
