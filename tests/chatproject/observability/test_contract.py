"""What Sentry receives from the running server, beyond the contract's table: asserted on the envelopes that came."""

import re
import secrets
from typing import Any

import pytest

from tests.chatproject.observability.watch import new_request
from tests.conftest import StartServer
from tests.fakes.client import Client, assert_problem
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server

Payload = dict[str, Any]


def transaction(ingest: Ingest, header: dict[str, str]) -> Payload:
    """The request's transaction, once all that it sends is here."""
    ingest.wait_request(header["X-Request-ID"])
    [found] = ingest.of_request(header["X-Request-ID"], "transaction")
    return found


def events(ingest: Ingest, header: dict[str, str]) -> list[Payload]:
    """All the events of a request that has ended."""
    ingest.wait_request(header["X-Request-ID"])
    return ingest.of_request(header["X-Request-ID"], "event")


def mechanism(event: Payload) -> Payload:
    return dict(event["exception"]["values"][-1]["mechanism"])


def post(client: Client, header: dict[str, str], conversation: str, content: str = "hi", **fields: Any) -> Any:
    """A blocking turn under the request's own id."""
    path = f"/api/conversations/{conversation}/messages"
    return client.post(path, json={"content": content, **fields}, headers=header)


def staff(server: Server, user: str) -> Client:
    server.db.query("UPDATE auth_user SET is_staff = ? WHERE username = ?", True, user)
    return server.client(user)


# GET /sentry-debug


def test_sentry_debug_is_for_staff_in_production(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_ENVIRONMENT="production", SENTRY_DSN=ingest.dsn)
    assert_problem(server.client(None).get("/sentry-debug"), 401, "not_authenticated")
    assert_problem(server.client("alice").get("/sentry-debug"), 403, "forbidden")
    assert ingest.items("event") == []
    assert_problem(staff(server, "bob").get("/sentry-debug"), 500, "internal_error")
    [event] = ingest.wait("event")
    assert event["environment"] == "production"


# A turn


def test_a_provider_failure_is_one_event_with_everything_about_it(
    client: Client, provider: Provider, server_ingest: Ingest
) -> None:
    header, conversation = new_request(), client.conversation()["id"]
    problem = assert_problem(post(client, header, conversation, model="status-500"), 502, "server_error")
    [event] = events(server_ingest, header)
    assert event["tags"] == {
        "provider": "fake",
        "model": "status-500",
        "conversation_id": conversation,
        "request_id": header["X-Request-ID"],
        "chat.outcome": "failed",
    }
    assert event["environment"] == "development"
    assert re.fullmatch(r"[0-9a-f]{40}", event["release"])
    assert event["level"] == "error"
    assert mechanism(event) == {"type": "chat", "handled": True}
    assert event["fingerprint"] == ["provider-error", "fake", "server_error"]
    assert event["transaction"] == "/api/conversations/{conversation_id}/messages"
    contexts = event["contexts"]
    assert contexts["chat_request"]["message_id"] == problem["message_id"]
    assert contexts["provider"]["base_url"] == provider.url
    assert contexts["provider"]["has_key"] is True
    assert contexts["provider_error"]["code"] == "server_error"
    assert contexts["provider_error"]["provider_status"] == 500
    assert contexts["provider_error"]["provider_request_id"] == "req_fake_0001"


def test_a_rate_limits_event_says_how_long_it_lasts(client: Client, server_ingest: Ingest) -> None:
    header, conversation = new_request(), client.conversation()["id"]
    post(client, header, conversation, model="status-429")
    [event] = events(server_ingest, header)
    assert event["contexts"]["provider_error"]["retry_after_s"] == 7.0


def test_the_requests_first_breadcrumb_is_on_its_event(client: Client, server_ingest: Ingest) -> None:
    header, conversation = new_request(), client.conversation()["id"]
    post(client, header, conversation, model="status-500")
    [event] = events(server_ingest, header)
    first = event["breadcrumbs"]["values"][0]
    path = f"/api/conversations/{conversation}/messages"
    assert first["message"] == "request started"
    assert first["data"] == {"method": "POST", "path": path}


def attempt(transaction: Payload) -> Payload:
    [span] = [span for span in transaction["spans"] if span["op"] == "gen_ai.chat"]
    return dict(span)


def test_no_trace_header_reaches_a_provider(client: Client, provider: Provider) -> None:
    header = {**new_request(), "sentry-trace": f"{'a' * 32}-{'b' * 16}-1", "baggage": f"sentry-trace_id={'a' * 32}"}
    post(client, header, client.conversation()["id"], model="echo")
    assert {"sentry-trace", "baggage", "traceparent"}.isdisjoint(provider.last.headers)


# What must never travel


def test_no_secret_and_no_message_text_leaves_by_default(
    server: Server, provider: Provider, server_ingest: Ingest
) -> None:
    client = server.client("alice")
    key = client.http.headers["Authorization"].removeprefix("Bearer ")
    prompt, cookie, query, metadata = (f"canary-{secrets.token_hex(8)}" for _ in range(4))
    extra = {"Cookie": f"sessionid={cookie}", "X-Tenant": cookie}
    conversation = client.conversation(title=metadata, system_prompt=prompt, metadata={"note": metadata})["id"]
    for model in ("echo", "status-401", "status-500", "drop-mid-stream"):
        header = {**extra, **new_request()}
        post(client, header, conversation, content=prompt, model=model)
        transaction(server_ingest, header)
    for path in (f"/sentry-debug?q={query}", f"/api/providers?q={query}"):
        header = {**extra, **new_request()}
        client.get(path, headers=header)
        transaction(server_ingest, header)
    assert prompt in str(provider.chats[-1].body)
    assert provider.last.headers["authorization"] == "Bearer fake-secret"
    sent = b"\n".join(server_ingest.raw)
    for secret in (prompt, cookie, query, metadata, key, key.split("_")[2], "fake-secret", "Bearer"):
        assert secret.encode() not in sent, secret


def test_message_text_travels_on_the_span_when_it_is_allowed(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_INCLUDE_PROMPTS="true")
    client, header = server.client("alice"), new_request()
    post(client, header, client.conversation()["id"], content="how are you", model="echo")
    data = attempt(transaction(ingest, header))["data"]
    assert "how are you" in data["gen_ai.input.messages"]
    assert "You said: how are you" in data["gen_ai.output.messages"]


def test_users_and_addresses_are_on_events_by_default(client: Client, server_ingest: Ingest) -> None:
    header = new_request()
    post(client, header, client.conversation()["id"], model="status-500")
    [event] = events(server_ingest, header)
    assert event["user"]["username"] == "alice"
    assert event["request"]["env"]["REMOTE_ADDR"] == "127.0.0.1"


def test_users_and_addresses_stay_here_without_pii(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_SEND_DEFAULT_PII="false")
    client, header = server.client("alice"), {**new_request(), "X-Forwarded-For": "203.0.113.7"}
    post(client, header, client.conversation()["id"], model="status-500")
    [event] = events(ingest, header)
    for item in (event, transaction(ingest, header)):
        assert not item.get("user")
        assert "REMOTE_ADDR" not in item["request"].get("env", {})
    sent = b"\n".join(ingest.raw)
    assert b"alice" not in sent
    assert b"203.0.113.7" not in sent


# Sampling


@pytest.mark.parametrize("off", [{"SENTRY_TRACES_SAMPLE_RATE": "0"}, {"SENTRY_ENABLE_TRACING": "false"}])
def test_an_incoming_trace_header_cannot_force_sampling(
    start_server: StartServer, ingest: Ingest, off: dict[str, str]
) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, **off)
    client = server.client("alice")
    client.get("/api/providers", headers={"sentry-trace": f"{'a' * 32}-{'b' * 16}-1"})
    client.get("/sentry-debug", headers={"sentry-trace": f"{'a' * 32}-{'b' * 16}-1"})
    client.close()  # gunicorn would wait for an idle connection
    server.terminate()
    assert len(ingest.items("event")) == 1
    assert ingest.items("transaction") == []
    assert ingest.items("profile_chunk") == []


# Shutdown


def test_a_failure_right_before_the_shutdown_still_arrives(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client, header = server.client("alice"), new_request()
    problem = post(client, header, client.conversation()["id"], model="status-500").json()
    client.close()  # gunicorn would wait for an idle connection
    server.terminate()
    [event] = ingest.of_request(header["X-Request-ID"], "event")
    assert event["event_id"] == problem["sentry_event_id"]


def test_without_a_dsn_nothing_is_promised(start_server: StartServer) -> None:
    server = start_server()
    client = server.client("alice")
    problem = assert_problem(
        post(client, new_request(), client.conversation()["id"], model="status-500"), 502, "server_error"
    )
    assert "sentry_event_id" not in problem
    assert re.fullmatch(r"[0-9a-f]{32}", problem["trace_id"])
