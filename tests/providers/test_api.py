"""Which providers and models there are, and whether they are well."""

from tests.conftest import StartServer
from tests.fakes.client import Client, assert_problem
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server


def test_it_lists_the_configured_providers(client: Client) -> None:
    page = client.get("/api/providers").json()
    assert page["next_cursor"] is None
    assert page["items"] == [
        {"name": "fake", "label": "fake", "model": "echo", "fallback_model": None, "default": True},
        {
            "name": "local",
            "label": "Embedded model",
            "model": "smollm2-135m-instruct",
            "fallback_model": None,
            "default": False,
        },
    ]


def test_it_lists_each_providers_models(start_server: StartServer) -> None:
    client = start_server(FAKE_FALLBACK_MODEL="tokens-1").client()
    assert client.get("/api/models").json() == {
        "items": [
            {"id": "echo", "provider": "fake", "default": True},
            {"id": "tokens-1", "provider": "fake", "default": False},
            {"id": "smollm2-135m-instruct", "provider": "local", "default": True},
        ],
        "next_cursor": None,
    }


def test_no_list_shows_a_key_or_a_base_url(client: Client, provider: Provider) -> None:
    for path in ("/api/providers", "/api/models", "/health/fake", "/health/local"):
        text = client.get(path).text
        assert "fake-secret" not in text
        assert "127.0.0.1" not in text


def test_the_process_is_well_without_a_key(server: Server) -> None:
    stranger = server.client(None)
    for path in ("/health", "/health/ready"):
        response = stranger.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_provider_that_answers_is_well(client: Client, provider: Provider) -> None:
    health = client.get("/health/fake").json()
    assert (health["provider"], health["status"]) == ("fake", "ok")
    assert health["models"] > 10
    assert health["latency_ms"] >= 0
    assert health["circuits"] == []
    [request] = provider.received
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == "Bearer fake-secret"
    assert not {"sentry-trace", "baggage", "traceparent"} & set(request.headers)


def test_a_provider_that_does_not_answer_is_a_problem_but_no_event(client: Client, server_ingest: Ingest) -> None:
    fence(client, server_ingest)
    problem = assert_problem(client.get("/health/local"), 503, "unreachable")
    assert problem["provider"] == "local"
    assert fence(client, server_ingest) == []


def test_an_unknown_provider_is_not_found(client: Client) -> None:
    assert "fake" in assert_problem(client.get("/health/nobody"), 404, "not_found")["detail"]
    assert_problem(client.get("/health/openai"), 404, "not_found")
