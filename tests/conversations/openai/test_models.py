"""GET /v1/models, and which provider and model a name means."""

from typing import Any

import openai
import pytest
from django.test import override_settings

from conversations.openai.models import listed, target_of
from providers.registry import Provider as Row
from tests.conftest import StartServer
from tests.conversations.openai.conftest import sdk_of
from tests.conversations.openai.test_completions import HELLO
from tests.fakes.provider import Provider


def row(name: str, model: str, fallback: str = "") -> Row:
    return Row(name=name, label=name, base_url="http://x", model=model, fallback_model=fallback)


ROWS = {
    "openrouter": row("openrouter", "openai/gpt-x", "deepseek/flash"),
    "groq": row("groq", "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "openai": row("openai", "gpt-x", "gpt-mini"),
    "local": row("local", "smol", "gpt-mini"),
}
NAMES = [
    # As the list has it, though openrouter calls a model of its own so.
    ("openai/gpt-x", "openai", "gpt-x"),
    ("openrouter/openai/gpt-x", "openrouter", "openai/gpt-x"),
    ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
    # A provider by its name.
    ("groq", "groq", "openai/gpt-oss-120b"),
    # A configured model by itself, also when its first segment is a provider's name.
    ("openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
    ("deepseek/flash", "openrouter", "deepseek/flash"),
    ("smol", "local", "smol"),
    # Two have it: the default provider's.
    ("gpt-mini", "local", "gpt-mini"),
    # Models that are not configured.
    ("openai/gpt-other", "openai", "gpt-other"),
    ("openrouter/meta/llama", "openrouter", "meta/llama"),
    ("meta/llama", "local", "meta/llama"),
    ("gpt-other", "local", "gpt-other"),
    ("openai/", "local", "openai/"),
]


@pytest.mark.parametrize(("name", "provider", "model"), NAMES)
def test_a_name_means_one_provider_and_model(name: str, provider: str, model: str) -> None:
    with override_settings(CHAT_PROVIDERS=ROWS, CHAT_DEFAULT_PROVIDER="local"):
        target = target_of(name)
    assert (target.provider.name, target.model) == (provider, model)


def test_every_name_of_the_list_means_what_it_lists() -> None:
    with override_settings(CHAT_PROVIDERS=ROWS, CHAT_DEFAULT_PROVIDER="local"):
        targets = list(listed())
        assert [target_of(target.id) for target in targets] == targets
    assert [target.id for target in targets] == [
        "local/smol",
        "local/gpt-mini",
        "openrouter/openai/gpt-x",
        "openrouter/deepseek/flash",
        "groq/openai/gpt-oss-120b",
        "groq/openai/gpt-oss-20b",
        "openai/gpt-x",
        "openai/gpt-mini",
    ]


def test_the_list_and_its_entries_as_the_client_reads_them(sdk: openai.OpenAI, provider: Provider) -> None:
    models = sdk.models.list().data
    assert [(m.id, m.object, m.owned_by) for m in models] == [
        ("fake/echo", "model", "fake"),
        ("local/smollm2-135m-instruct", "model", "local"),
    ]
    for name in ("fake/echo", "fake", "echo", "local"):
        assert sdk.models.retrieve(name).id == name
    assert sdk.chat.completions.create(model=models[0].id, messages=HELLO).model == "echo-2026"
    assert provider.last.body["model"] == "echo"
    for name in ("gone", "fake/gone"):
        with pytest.raises(openai.NotFoundError) as caught:
            sdk.models.retrieve(name)
        assert caught.value.code == "model_not_found"


def test_a_model_whose_name_has_slashes(start_server: StartServer, provider: Provider) -> None:
    server = start_server(FAKE_MODEL="openai/gpt-oss-120b")
    with sdk_of(server.client()) as sdk:
        assert sdk.models.list().data[0].id == "fake/openai/gpt-oss-120b"
        for name in ("fake/openai/gpt-oss-120b", "openai/gpt-oss-120b"):
            assert sdk.models.retrieve(name).owned_by == "fake"
            with pytest.raises(openai.NotFoundError):  # the fake provider has none
                sdk.chat.completions.create(model=name, messages=HELLO)
            assert provider.last.body["model"] == "openai/gpt-oss-120b"


def test_a_provider_that_is_named_gets_the_request(sdk: openai.OpenAI, provider: Provider) -> None:
    asked: Any = {"messages": HELLO}
    with pytest.raises(openai.InternalServerError) as caught:
        sdk.chat.completions.create(model="local/any", **asked)
    assert caught.value.body["provider"] == "local"  # type: ignore[index]
    sdk.chat.completions.create(model="fake/tokens-1", **asked)
    assert [chat.body["model"] for chat in provider.chats] == ["tokens-1"]
