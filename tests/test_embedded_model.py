"""The main job with the real, embedded model: no stub anywhere."""

import os

import pytest

from tests.conftest import StartServer
from tests.fakes.client import Stream
from tests.fakes.database import manage
from tests.fakes.local_model import local_model


def test_a_newcomer_chats_with_the_embedded_model(start_server: StartServer) -> None:
    with local_model() as url:
        client = start_server(CHAT_PROVIDERS="", CHAT_DEFAULT_PROVIDER="", LOCAL_BASE_URL=url).client()
        first = client.post("/api/chat", json={"message": "What is the capital of France?"})
        assert first.status_code == 200, first.text
        answer = first.json()
        assert "Paris" in answer["content"]
        assert (answer["provider"], answer["model"]) == ("local", "smollm2-135m-instruct")
        assert answer["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] > 0

        body = {"message": "What was my first question?", "conversation_id": answer["conversation_id"], "stream": True}
        with client.http.stream("POST", "/api/chat", json=body) as response:
            _, *deltas, completed = list(Stream(response))
        assert completed.name == "message.completed"
        assert len(deltas) > 1
        assert "France" in completed.data["content"]
        assert client.get("/health/local").json()["status"] == "ok"

        long = client.say(answer["conversation_id"], "word " * 9000)
        assert (long.status_code, long.json()["code"]) == (413, "context_too_long")
        unbounded = client.say(client.conversation()["id"], "Count to ten.", max_tokens=5)
        assert unbounded.json()["finish_reason"] == "length"
        assert unbounded.json()["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"LOCAL_BASE_URL": "http://10.0.0.1:8099/v1"}, "must be on loopback"),
        ({"LOCAL_BASE_URL": "http://127.0.0.1:8099/api"}, "must end in /v1"),
        ({"CHAT_PROVIDERS": "ollama", "CHAT_DEFAULT_PROVIDER": "ollama"}, "does not name `local`"),
    ],
)
def test_it_says_why_it_does_not_start(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(AssertionError) as error:
        manage(os.environ["DATABASE_URL"], "serve_local_model", **environment)
    *_, line = str(error.value).strip().splitlines()
    assert reason in line
    assert "Traceback" not in str(error.value)


def test_a_taken_port_is_one_clear_line() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"Port {port} is taken"):
            manage(os.environ["DATABASE_URL"], "serve_local_model", LOCAL_BASE_URL=f"http://127.0.0.1:{port}/v1")
