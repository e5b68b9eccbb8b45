"""Circuits in a deployment of two nodes, which share nothing but their database."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

BROKEN = "status-500"
FAILURES = 3


def ask(client: Client, model: str) -> Any:
    return client.post("/api/chat", json={"message": "go", "model": model})


def code(client: Client, model: str) -> str:
    response = ask(client, model)
    return "" if response.status_code == 200 else str(response.json()["code"])


@pytest.fixture
def pause() -> float:
    return 3


@pytest.fixture
def nodes(start_server: StartServer, pause: float) -> Iterator[tuple[Client, Client]]:
    server = start_server(CHAT_CIRCUIT_FAILURES=str(FAILURES), CHAT_CIRCUIT_SECONDS=str(pause), FAKE_MODEL=BROKEN)
    with server.neighbour() as other:
        yield server.client(), other.client()


def test_an_open_circuit_answers_at_once_on_every_node(nodes: tuple[Client, Client], provider: Provider) -> None:
    one, other = nodes
    for _ in range(FAILURES):
        assert code(one, BROKEN) == "server_error"
    poll(lambda: code(other, BROKEN) == "circuit_open", 5, "the news")
    asked = len(provider.chats)
    for client in nodes:
        response = ask(client, BROKEN)
        assert_problem(response, 503, "circuit_open")
        assert 1 <= int(response.headers["Retry-After"]) <= 3
        health = client.get("/health/fake").json()
        assert health["status"] == "degraded"
        [circuit] = health["circuits"]
        assert (circuit["model"], circuit["state"], circuit["code"]) == (BROKEN, "open", "server_error")
        assert circuit["failures"] == FAILURES
        assert 1 <= circuit["retry_after_s"] <= 3
    assert len(provider.chats) == asked
    assert code(one, "echo") == "", "another model's circuit is its own"


@pytest.mark.parametrize("pause", [2])
def test_one_turn_in_the_whole_deployment_tries_again(nodes: tuple[Client, Client], provider: Provider) -> None:
    one, other = nodes
    for _ in range(FAILURES):
        code(one, BROKEN)
    poll(lambda: other.get("/health/fake").json()["circuits"][0]["state"] == "half_open", 5, "end of the pause")
    asked = len(provider.chats)
    with ThreadPoolExecutor(10) as pool:
        codes = Counter(pool.map(lambda n: code(nodes[n % 2], BROKEN), range(20)))
    assert codes == {"server_error": 1, "circuit_open": 19}
    assert len(provider.chats) == asked + 1
    [circuit] = one.get("/health/fake").json()["circuits"]
    assert 2 < circuit["retry_after_s"] <= 4, "twice as long"


@pytest.mark.parametrize("pause", [0.5])
def test_a_provider_that_is_back_is_used_again(nodes: tuple[Client, Client], provider: Provider) -> None:
    one, _ = nodes
    model = f"flaky-{FAILURES}"
    for _ in range(FAILURES):
        assert code(one, model) != ""
    assert one.get("/health/fake").json()["circuits"][0]["model"] is None, "a user's own word"
    poll(lambda: code(one, model) == "", 10, "a turn that works")
    for client in nodes:
        health = client.get("/health/fake").json()
        assert (health["status"], health["circuits"]) == ("ok", [])
        assert code(client, model) == ""


def test_a_long_answer_of_the_probe_holds_up_nobody(start_server: StartServer, provider: Provider) -> None:
    model, stalled = "hang-mid-stream", {"CHAT_SILENCE_TIMEOUT": "2"}
    client = start_server(CHAT_CIRCUIT_FAILURES="1", CHAT_CIRCUIT_SECONDS="0.5", **stalled).client()
    assert code(client, model) == "timeout"
    assert client.get("/health/fake").json()["status"] == "degraded"
    poll(lambda: client.get("/health/fake").json()["circuits"][0]["state"] == "half_open", 5, "end of the pause")
    with client.stream(client.conversation()["id"], "go", model=model) as stream:
        assert next(event.name for event in stream if event.name.endswith("delta"))
        assert client.get("/health/fake").json()["circuits"] == []


def test_the_health_of_a_provider_that_is_away_tells_of_its_circuits(
    start_server: StartServer, dying_provider: Provider
) -> None:
    client = start_server(dying_provider, CHAT_CIRCUIT_FAILURES="2").client()
    dying_provider.kill()
    assert "circuits" not in assert_problem(client.get("/health/fake"), 503, "unreachable")
    for _ in range(2):
        assert code(client, "echo") == "unreachable"
    [circuit] = assert_problem(client.get("/health/fake"), 503, "unreachable")["circuits"]
    assert (circuit["model"], circuit["state"], circuit["code"]) == ("echo", "open", "unreachable")
