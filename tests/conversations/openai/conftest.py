"""OpenAI's own client, at the shared server."""

from collections.abc import Iterator

import httpx2
import openai
import pytest

from tests.fakes.client import TIMEOUT, Client
from tests.fakes.provider import Provider
from tests.fakes.server import Server


@pytest.fixture
def sdk(client: Client) -> Iterator[openai.OpenAI]:
    """Alice's."""
    with sdk_of(client) as made:
        yield made


def sdk_of(client: Client, **more: object) -> openai.OpenAI:
    """With the key of `client`. It tries once: what it got is what is tested."""
    http = httpx2.Client(timeout=TIMEOUT, trust_env=False)
    return openai.OpenAI(**{**options(client), "http_client": http, **more})  # type: ignore[arg-type]


def async_sdk_of(client: Client) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(timeout=TIMEOUT, trust_env=False)
    return openai.AsyncOpenAI(**options(client), http_client=http)  # type: ignore[arg-type]


def options(client: Client) -> dict[str, object]:
    key = client.http.headers["Authorization"].removeprefix("Bearer ")
    return {"base_url": f"{client.url}/v1", "api_key": key, "max_retries": 0}


@pytest.fixture
def rows(server: Server, provider: Provider) -> Iterator[None]:
    """Asserts that the test leaves no conversation, message or attempt behind."""

    def count() -> list[int]:
        return [server.db.count(f"conversations_{table}") for table in ("conversation", "message", "messageattempt")]

    before = count()
    yield
    assert count() == before
