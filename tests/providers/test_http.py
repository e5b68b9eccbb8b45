"""The connections to a provider, against a server on loopback: proxies, cookies, redirects, large bodies."""

import asyncio
import gc
import json
from base64 import b64encode
from collections.abc import Iterator

import pytest
from django.test import override_settings

from providers.checks import check_proxies
from providers.http import LARGE, Connections, proxy_of
from providers.registry import Provider
from tests.fakes.loopback import Handler, Loopback
from tests.providers.closing import run

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Seen(Handler):
    """Answers with what it was asked, and a cookie; a request for /elsewhere with a redirect."""

    def do_POST(self) -> None:
        self.tell(self.read())

    def do_GET(self) -> None:
        self.tell(b"")

    def tell(self, body: bytes) -> None:
        seen = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": len(body)}
        told = json.dumps(seen | {"port": self.client_address[1]}).encode()
        headers = {"Set-Cookie": "tracked=yes; Path=/", "Location": "/followed"}
        self.answer(307 if self.path == "/elsewhere" else 200, headers, told)


@pytest.fixture
def url() -> Iterator[str]:
    with Loopback(Seen) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def connections(url: str, key: str = "secret") -> Connections:
    return Connections(Provider(name="fake", label="Fake", base_url=url, model="echo", api_key=key))


async def post(of: Connections, path: str = "/chat/completions", body: bytes = b"{}") -> dict[str, object]:
    response = await of.post(of.url(path), body)
    answer: dict[str, object] = json.loads(await response.read())
    return answer


def test_a_request_bears_the_key_and_nothing_that_tells_of_this_machine(url: str) -> None:
    headers = run(connections(url), post)["headers"]
    assert headers == {
        "host": url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer secret",
        "content-length": "2",
        "content-type": "application/json",
        "user-agent": "chat-server",
    }


def test_without_a_key_there_is_no_authorization(url: str) -> None:
    headers = run(connections(url, key=""), post)["headers"]
    assert isinstance(headers, dict)
    assert "authorization" not in headers


def test_a_cookie_of_the_provider_is_not_sent_back_on_the_same_connection(url: str) -> None:
    async def twice(of: Connections) -> list[dict[str, object]]:
        return [await post(of), await post(of)]

    first, second = run(connections(url), twice)
    assert first["port"] == second["port"]
    assert first["headers"] == second["headers"]


def test_a_redirect_is_handed_back_and_not_followed(url: str) -> None:
    async def status(of: Connections) -> tuple[int, int]:
        posted, got = await of.post(of.url("/elsewhere"), b"{}"), await of.get(of.url("/elsewhere"))
        posted.close()
        got.close()
        return posted.status, got.status

    assert run(connections(url), status) == (307, 307)


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, 9 * LARGE])
def test_a_body_of_any_size_arrives_whole(url: str, size: int) -> None:
    async def large(of: Connections) -> dict[str, object]:
        return await post(of, body=b"x" * size)

    answer = run(connections(url), large)
    assert answer["body"] == size
    assert isinstance(answer["headers"], dict)
    assert answer["headers"]["content-length"] == str(size)
    assert answer["headers"]["content-type"] == "application/json"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_event_loop_gets_connections_of_its_own(url: str) -> None:
    of = connections(url)

    async def without_closing() -> object:
        return (await post(of))["body"]

    assert asyncio.run(without_closing()) == 2
    assert run(of, post)["body"] == 2
    gc.collect()  # the first loop's are warned of here, and not in another test


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_proxy_is_asked_for_what_is_not_excepted(monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    monkeypatch.setenv(name, url)
    asked = run(connections("http://provider.example/v1"), post)
    assert asked["path"] == "http://provider.example/v1/chat/completions"


def test_a_proxys_password_goes_to_the_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("http_proxy", url.replace("://", "://user:pass%40word@"))
    headers = run(connections("http://provider.example/v1"), post)["headers"]
    assert isinstance(headers, dict)
    assert headers["proxy-authorization"] == "Basic " + b64encode(b"user:pass@word").decode()


@pytest.mark.parametrize(
    ("proxies", "url", "behind"),
    [
        ({}, "https://provider.example", False),
        ({"https_proxy": "http://proxy:3128"}, "https://provider.example", True),
        ({"https_proxy": "http://proxy:3128"}, "http://provider.example", False),
        ({"http_proxy": "http://proxy:3128"}, "http://provider.example", True),
        ({"all_proxy": "http://proxy:3128"}, "https://provider.example", True),
        ({"https_proxy": "proxy:3128"}, "https://provider.example", True),
        ({"all_proxy": "http://proxy:3128", "no_proxy": "provider.example"}, "https://provider.example", False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, "https://provider.example", False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": ".example"}, "https://provider.example", False),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str], url: str, behind: bool
) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == ("http://proxy:3128" if behind else None)


@pytest.mark.parametrize(
    ("proxy", "ids"), [("socks5://127.0.0.1:9", ["providers.E001"]), ("http://127.0.0.1:9", []), ("127.0.0.1:9", [])]
)
def test_a_proxy_that_is_none_of_http_is_a_checks_error(
    monkeypatch: pytest.MonkeyPatch, proxy: str, ids: list[str]
) -> None:
    provider = Provider(name="fake", label="Fake", base_url="https://provider.example", model="echo")
    monkeypatch.setenv("all_proxy", proxy)
    with override_settings(CHAT_PROVIDERS={"fake": provider}):
        found = check_proxies(None)
    assert [message.id for message in found] == ids
    assert all("fake" in (message.hint or "") for message in found)
