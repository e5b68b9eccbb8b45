"""llm, another client than OpenAI's own, at the shared server."""

from pathlib import Path

import pytest

from tests.fakes import llm
from tests.fakes.behaviours import ECHO
from tests.fakes.client import Client
from tests.fakes.provider import Provider

pytestmark = pytest.mark.skipif(not llm.installed(), reason="llm is not installed: `make llm`")


def ask(client: Client, folder: Path, *arguments: str, model: str = "echo") -> str:
    """What it prints, on whichever stream."""
    key = client.http.headers["Authorization"].removeprefix("Bearer ")
    done = llm.run(folder, client.url, key, "prompt", "-m", "ours", *arguments, model=model)
    return done.stdout + done.stderr


def test_it_streams_and_goes_on(client: Client, tmp_path: Path, provider: Provider) -> None:
    assert ask(client, tmp_path, "hello", "-s", "Be brief.") == f"{ECHO}hello\n"
    assert provider.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    ]
    assert ask(client, tmp_path, "again", "--continue") == f"{ECHO}again\n"
    assert [m["content"] for m in provider.last.messages][-3:] == ["hello", f"{ECHO}hello", "again"]


def test_it_takes_the_whole_with_options(client: Client, tmp_path: Path, provider: Provider) -> None:
    asked = ("hello", "--no-stream", "-o", "temperature", "0.5", "-o", "max_tokens", "9", "--usage")
    answer = ask(client, tmp_path, *asked)
    assert answer.startswith(f"{ECHO}hello\n")
    assert "Token usage" in answer
    assert (provider.last.body["temperature"], provider.last.body["max_tokens"]) == (0.5, 9)


def test_it_says_what_failed(client: Client, tmp_path: Path) -> None:
    assert "does not have this model" in ask(client, tmp_path, "hello", model="gone")
