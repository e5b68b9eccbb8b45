"""Log lines say whose they are, to machines, to people and to Sentry, and nothing else of the request."""

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chatproject.observability import logs
from chatproject.observability.privacy import RedactTracebacks
from tests.conftest import StartServer
from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

Json = dict[str, Any]
HELD, FAILING = 8, 8
GUNICORNS_OWN = re.compile(r"\[\d{4}-\d\d-\d\d ")
"""A line of its master process, which knows no settings."""


def lines(server: Server) -> list[Json]:
    """Every line of the log that is ours."""
    return [json.loads(line) for line in server.log().splitlines() if not GUNICORNS_OWN.match(line)]


def line_of(server: Server, logger: str, request_id: str) -> Json:
    """The line that `logger` wrote in this request."""

    def found() -> list[Json]:
        return [line for line in lines(server) if line["logger"] == logger and line.get("request_id") == request_id]

    [line] = poll(found, what=f"line of {logger} in {request_id}")
    return dict(line)


def turn(server: Server, number: int, model: str) -> Json:
    """A turn in a conversation of its own, every other one streamed; its ids as the caller knows them."""
    client = server.client()
    conversation, request_id = client.conversation()["id"], f"{model}-{number}"
    response = client.post(
        f"/api/conversations/{conversation}/messages",
        json={"content": "hi", "model": model, "stream": bool(number % 2)},
        headers={"X-Request-ID": request_id},
    )
    return {"conversation_id": conversation, "request_id": request_id, "trace_id": response.headers["X-Trace-ID"]}


def ids(line: Json) -> Json:
    return {name: line.get(name) for name in logs.IDS}


def test_the_ids_are_right_when_turns_run_at_the_same_time(start_server: StartServer, provider: Provider) -> None:
    server = start_server(LOG_FORMAT="json")
    with ThreadPoolExecutor(HELD + FAILING) as pool:
        held = [pool.submit(turn, server, number, "hang") for number in range(HELD)]
        provider.wait(HELD)
        failing = [pool.submit(turn, server, number, "status-500") for number in range(FAILING)]
        failed = [future.result() for future in failing]
        provider.release()
        ended = failed + [future.result() for future in held]
    for expected in ended:
        line = line_of(server, "chatproject.access", expected["request_id"])
        assert ids(line) == expected
        assert line["path"] == f"/api/conversations/{expected['conversation_id']}/messages"
    for expected in failed:
        line = line_of(server, "conversations.report", expected["request_id"])
        assert ids(line) == expected
        assert line["level"] == "WARNING"
        assert line["message"].endswith(" failed: fake server_error")


def test_a_request_without_a_turn_bears_the_id_of_no_conversation(start_server: StartServer) -> None:
    server = start_server(LOG_FORMAT="json")
    client = server.client()  # one connection for both
    client.post("/api/chat", json={"message": "hi"}, headers={"X-Request-ID": "first"})
    client.get("/api/providers", headers={"X-Request-ID": "second"})
    assert "conversation_id" in line_of(server, "chatproject.access", "first")
    line = line_of(server, "chatproject.access", "second")
    assert "conversation_id" not in line
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/providers", 200)
    assert line["timestamp"].endswith("+00:00")
    assert line["message"] == f"GET /api/providers 200 {line['duration_ms']} ms"


def test_what_outlives_its_request_does_not_bear_its_ids(start_server: StartServer, provider: Provider) -> None:
    server = start_server(LOG_FORMAT="json")
    client = server.client()
    conversation = client.conversation()["id"]
    with client.stream(conversation, "go", model="hang"):
        provider.wait()
        server.db.query("ALTER TABLE conversations_message RENAME TO elsewhere")
        [line, *_] = poll(lambda: [line for line in lines(server) if line["logger"] == "conversations.live"])
        server.db.query("ALTER TABLE elsewhere RENAME TO conversations_message")
    assert line["message"].startswith("the live turns could not be saved")
    assert ids(line) == {"request_id": None, "trace_id": None, "conversation_id": None}


@pytest.mark.parametrize(("environment", "json_lines"), [("production", True), ("development", False)])
def test_the_environment_decides_on_the_format(start_server: StartServer, environment: str, json_lines: bool) -> None:
    server = start_server(SENTRY_ENVIRONMENT=environment)
    response = server.client().post("/api/chat", json={"message": "hi"}, headers={"X-Request-ID": "mine"})
    [line] = poll(lambda: [line for line in server.log().splitlines() if "/api/chat" in line], what="access line")
    answer = response.json()
    if json_lines:
        expected = {name: answer[name] for name in logs.IDS}
        assert ids(json.loads(line)) == expected
        assert any(line["message"].startswith("ASGI server listening") for line in lines(server)), "gunicorn's too"
    else:
        assert line.endswith(f" ms request=mine trace={answer['trace_id']} conversation={answer['conversation_id']}"), (
            line
        )


def record(**extra: Any) -> logging.LogRecord:
    return logging.getLogger("some").makeRecord(
        "some", logging.ERROR, "file.py", 1, "it %s", ("broke",), None, extra=extra
    )


def test_a_json_line_has_no_field_that_a_library_adds() -> None:
    line = json.loads(logs.JsonLines().format(record(request="<ASGIRequest: GET '/?q=secret'>", status=500)))
    assert line.keys() == {"timestamp", "level", "logger", "message", "status"}


def test_a_json_line_shows_a_traceback_without_what_was_cut_out_of_it() -> None:
    broken = record()
    try:
        raise ValueError("x" * 50)  # no prose, so it is cut
    except ValueError as error:
        broken.exc_info = (ValueError, error, error.__traceback__)
    RedactTracebacks().filter(broken)
    line = logs.JsonLines().format(broken)
    assert "\n" not in line
    assert "test_logs.py" in json.loads(line)["exc_info"]
    assert "x" * 50 not in line


# The same as Sentry's logs


def sentry_logs(ingest: Ingest) -> list[Json]:
    """The logs that came, their attributes as plain values."""
    items = [item for payload in ingest.items("log") for item in payload["items"]]
    return [{**i, "attributes": {name: a["value"] for name, a in i["attributes"].items()}} for i in items]


def stopped(server: Server, client: Client) -> None:
    """Ends the server, which sends all that it has for Sentry."""
    client.close()  # gunicorn would wait for an idle connection
    assert server.terminate() == 0


def test_our_lines_are_sentrys_logs_with_the_ids(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_RELEASE="1.2.3", SENTRY_ENVIRONMENT="staging")
    client = server.client()
    good = client.post("/api/chat", json={"message": "hi"}).json()
    bad = client.post("/api/chat", json={"message": "hi", "model": "status-500"}).json()
    stopped(server, client)
    access, failed, access_of_failed = sentry_logs(ingest)
    assert access["attributes"]["logger.name"] == "chatproject.access"
    assert (access["level"], failed["level"]) == ("info", "warn")
    assert failed["body"] == f"turn {bad['message_id']} failed: fake server_error"
    for log, answer in ((access, good), (failed, bad), (access_of_failed, bad)):
        assert ids(log["attributes"]) == {name: answer[name] for name in logs.IDS}
        assert log["trace_id"] == answer["trace_id"]
        assert log["attributes"]["sentry.release"] == "1.2.3"
        assert log["attributes"]["sentry.environment"] == "staging"
    assert access_of_failed["attributes"]["status"] == 502
    assert len(ingest.items("event")) == 1, "a line is never an event"


def test_probes_and_what_libraries_log_stay_out_of_sentrys_logs(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    for path in ("/health", "/health/ready", "/static/admin/css/base.css", "/nothing"):
        client.get(path)
    stopped(server, client)
    assert "gunicorn.error: " in server.log(), "a library that logs"
    [log] = sentry_logs(ingest)
    assert (log["attributes"]["logger.name"], log["attributes"]["path"]) == ("chatproject.access", "/nothing")


def test_sentrys_logs_can_be_switched_off(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_ENABLE_LOGS="false")
    client = server.client()
    client.post("/api/chat", json={"message": "hi", "model": "status-500"})
    stopped(server, client)
    assert len(ingest.wait("event")) == 1
    assert ingest.items("log") == []


def test_a_log_tells_of_the_request_and_the_process_and_never_who_asked(
    start_server: StartServer, ingest: Ingest
) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_SEND_DEFAULT_PII="true")
    client = server.client("alice")
    client.get("/api/providers")
    stopped(server, client)
    [log] = sentry_logs(ingest)
    ours = {"method", "path", "status", "duration_ms", "request_id", "trace_id", "logger.name"}
    process = {"sentry.sdk.name", "sentry.sdk.version", "sentry.environment", "sentry.release", "server.address"}
    assert log["attributes"].keys() - process == ours | {"sentry.severity_number", "sentry.severity_text"}
    assert "alice" not in str(log)


def test_no_line_and_no_log_tells_a_text_a_key_or_a_query(start_server: StartServer, ingest: Ingest) -> None:
    private = {"prompt": "purple-elephant", "query": "hidden-lagoon", "FAKE_API_KEY": "sk-violet-walrus"}
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_ENVIRONMENT="production", FAKE_API_KEY=private["FAKE_API_KEY"])
    client = server.client()
    for model in ("echo", "status-500", "drop-mid-stream"):
        for stream in (False, True):
            body = {"message": private["prompt"], "model": model, "stream": stream}
            client.post("/api/chat", params={"q": private["query"]}, json=body)
    for path in ("/api/chat", "/nothing", "/sentry-debug"):
        client.get(path, params={"q": private["query"]})
    key = client.http.headers["Authorization"].split("_")[2]
    stopped(server, client)
    sent = b"".join(ingest.raw).decode()
    assert len(sentry_logs(ingest)) == 6 + 4 + 3
    assert len(lines(server)) > 13
    for secret in (*private.values(), key):
        assert secret not in sent
        assert secret not in server.log()
