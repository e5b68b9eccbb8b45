"""Messages with images: what is stored, what reaches the provider, and who refuses them."""

import socket
from base64 import b64encode
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider

LIMIT = 1_000_000
BYTES = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "gif": b"GIF89a",
    "webp": b"RIFF\x10\x00\x00\x00WEBP",
}


def data_url(kind: str = "png", size: int = 100) -> str:
    return f"data:image/{kind};base64,{b64encode(BYTES[kind].ljust(size, b'x')).decode()}"


def image(url: str = "https://example.com/cat.png?a=1&b=%20#x", **more: Any) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text(content: str) -> Json:
    return {"type": "text", "text": content}


def post(client: Client, conversation: Json, content: Any, **fields: Any) -> Json:
    response = client.say(conversation["id"], content, **fields)
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.fixture
def conversation(client: Client) -> Json:
    return client.conversation()


@pytest.mark.parametrize(
    "picture",
    [image(), image(detail="high"), *(image(data_url(kind)) for kind in BYTES)],
    ids=["https", "detail", *BYTES],
)
def test_an_image_reaches_the_provider_as_it_came(
    client: Client, provider: Provider, conversation: Json, picture: Json
) -> None:
    parts = [text("What is"), picture, text("this?")]
    post(client, conversation, parts)
    assert provider.last.messages[-1] == {"role": "user", "content": parts}
    asked = client.messages(conversation["id"])[0]
    assert (asked["content"], asked["parts"]) == ("What is\nthis?", parts)
    assert client.read(conversation["id"])["title"] == "What is"


def test_an_image_may_come_alone(client: Client, provider: Provider, conversation: Json) -> None:
    post(client, conversation, [image()], model="tokens-1")
    assert provider.last.messages[-1]["content"] == [image()]
    asked = client.messages(conversation["id"])[0]
    assert (asked["content"], asked["parts"]) == ("", [image()])
    assert client.read(conversation["id"])["title"] == ""


def test_parts_that_are_all_text_are_a_text(client: Client, provider: Provider, conversation: Json) -> None:
    post(client, conversation, [text("one"), text("two")])
    assert provider.last.messages[-1]["content"] == "one\ntwo"
    asked = client.messages(conversation["id"])[0]
    assert (asked["content"], asked["parts"]) == ("one\ntwo", None)


def test_it_goes_along_with_later_turns(client: Client, provider: Provider, conversation: Json) -> None:
    parts = [text("What is this?"), image(data_url())]
    post(client, conversation, parts, model="tokens-1")
    post(client, conversation, "And what colour?")
    assert provider.last.messages[1] == {"role": "user", "content": parts}


def test_ten_images_and_the_largest_image_are_accepted(client: Client, provider: Provider, conversation: Json) -> None:
    post(client, conversation, [image() for _ in range(10)], model="tokens-1")
    post(client, conversation, [image(data_url(size=LIMIT))], model="tokens-1")
    too_large = client.say(conversation["id"], [image(data_url(size=LIMIT + 1))], model="tokens-1")
    problem = assert_problem(too_large, 422, "invalid_request", "content.0.image_url")
    assert "1,000,000 bytes" in problem["detail"]
    assert len(problem["detail"]) < 200, "it does not repeat the image"


def test_the_longest_url_is_accepted(client: Client, provider: Provider, conversation: Json) -> None:
    url = "https://example.com/".ljust(2_000, "x")
    post(client, conversation, [image(url)], model="tokens-1")
    assert provider.last.messages[-1]["content"] == [image(url)]


def test_a_chat_takes_them_too(client: Client, provider: Provider) -> None:
    response = client.post("/api/chat", json={"message": [text("What is this?"), image()]})
    assert response.status_code == 200, response.text
    assert provider.last.messages[-1]["content"] == [text("What is this?"), image()]


def test_a_stream_takes_them_too(client: Client, provider: Provider, conversation: Json) -> None:
    with client.http.stream(
        "POST",
        f"/api/conversations/{conversation['id']}/messages",
        json={"content": [image()], "stream": True, "model": "tokens-1"},
    ) as response:
        assert response.status_code == 200
        response.read()
    assert provider.last.messages[-1]["content"] == [image()]


def test_a_provider_that_takes_none_refuses_them_and_nothing_is_stored(client: Client) -> None:
    conversation = client.conversation(provider="local")
    before = client.get("/api/conversations", params={"limit": 100}).json()
    response = client.say(conversation["id"], [text("What is this?"), image()])
    problem = assert_problem(response, 422, "invalid_request", "content")
    assert "local" in problem["detail"]
    assert "name another provider" in problem["detail"]
    for path, body in (("/api/chat/local", {}), ("/api/chat", {"provider": "local"})):
        response = client.post(path, json={"message": [image()], **body})
        assert_problem(response, 422, "invalid_request", "message")
    assert client.messages(conversation["id"]) == []
    assert client.get("/api/conversations", params={"limit": 100}).json() == before


def test_a_conversation_with_images_may_go_on_with_a_provider_that_takes_none(
    start_server: StartServer, provider: Provider
) -> None:
    client = start_server(LOCAL_BASE_URL=provider.url).client()
    conversation = client.conversation()
    post(client, conversation, [text("What is this?"), image(data_url())], model="tokens-1")
    post(client, conversation, "And this?", provider="local", model="tokens-1")
    assert provider.last.messages[1]["content"] == "What is this?\n[image]"
    assert "base64" not in provider.last.raw.decode()


def test_the_limit_is_a_setting(start_server: StartServer, provider: Provider) -> None:
    client = start_server(CHAT_MAX_IMAGE_BYTES="1000").client()
    conversation = client.conversation()
    post(client, conversation, [image(data_url(size=1_000))], model="tokens-1")
    response = client.say(conversation["id"], [image(data_url(size=1_001))])
    assert_problem(response, 422, "invalid_request", "content.0.image_url")


def test_nobody_fetches_an_address(client: Client, provider: Provider, conversation: Json) -> None:
    """Of an address that this machine could reach, were it asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/cat.png"
        post(client, conversation, [image(url)], model="tokens-1")
        assert provider.last.messages[-1]["content"] == [image(url)]
        with pytest.raises(BlockingIOError):  # no connection waits to be accepted
            listening.accept()


def test_no_image_is_in_the_log(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    client.say(client.conversation()["id"], [image(data_url())], model="status-500")
    client.say(client.conversation()["id"], [image(f"{data_url()}=")])
    assert "base64," not in server.log()
