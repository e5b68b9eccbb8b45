"""Which providers the environment makes, and how a malformed one stops the start."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from providers import registry

SECRET = "sk-do-not-print-me"


def load(enabled: list[str] | None = None, **variables: str) -> dict[str, registry.Provider]:
    return dict(registry.load(lambda name, default: variables.get(name) or default, enabled or [], registry.Timeouts()))


def refused(enabled: list[str] | None = None, **variables: str) -> str:
    with pytest.raises(ImproperlyConfigured) as error:
        load(enabled, **variables)
    return str(error.value)


def test_only_the_embedded_model_is_there_without_any_variable() -> None:
    assert list(load()) == ["local"]


def test_a_key_turns_its_preset_on() -> None:
    providers = load(GROQ_API_KEY=SECRET, OPENAI_API_KEY=SECRET)
    assert list(providers) == ["openai", "groq", "local"]
    assert providers["groq"].api_key == SECRET


def test_a_list_chooses_the_providers_and_their_order() -> None:
    assert list(load(["local", "openai"], OPENAI_API_KEY=SECRET, GROQ_API_KEY=SECRET)) == ["local", "openai"]


def test_ollama_needs_no_key_but_a_mention() -> None:
    assert list(load(["ollama"])) == ["ollama"]


@pytest.mark.parametrize("preset", [p for p in registry.PRESETS if p.needs_key], ids=lambda p: p.name)
def test_a_named_preset_needs_its_key(preset: registry.Provider) -> None:
    assert f"{preset.name.upper()}_API_KEY" in refused([preset.name])


def test_every_part_of_a_preset_can_be_overridden() -> None:
    provider = load(
        ["openai"],
        OPENAI_API_KEY=SECRET,
        OPENAI_BASE_URL="https://proxy.example.com/v1/",
        OPENAI_MODEL="mine",
        OPENAI_FALLBACK_MODEL="other",
        OPENAI_HISTORY_TOKENS="123",
    )["openai"]
    assert provider.base_url == "https://proxy.example.com/v1"
    assert (provider.model, provider.fallback_model, provider.history_tokens) == ("mine", "other", 123)


def test_another_name_is_a_custom_provider() -> None:
    provider = load(["my-llm"], MY_LLM_BASE_URL="http://10.0.0.1:8000/v1", MY_LLM_MODEL="m", MY_LLM_API_KEY=SECRET)
    assert provider["my-llm"].base_url == "http://10.0.0.1:8000/v1"
    assert provider["my-llm"].api_key == SECRET


def test_a_custom_provider_needs_base_url_and_model() -> None:
    assert "ACME_BASE_URL" in refused(["acme"])
    assert "ACME_MODEL" in refused(["acme"], ACME_BASE_URL="http://localhost/v1")


@pytest.mark.parametrize("name", ["Acme", "a b", "ä", "-x", "x/y", "x" * 33, "../x", "a;b"])
def test_a_custom_providers_name_must_be_plain(name: str) -> None:
    message = refused([name])
    assert "CHAT_PROVIDERS" in message
    assert name not in message


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "https://user:pass@x/v1", "http://x:99999999/v1", "http://[x/v1"]
)
def test_a_base_url_must_be_one(url: str) -> None:
    message = refused(["acme"], ACME_BASE_URL=url, ACME_MODEL="m")
    assert message.startswith("ACME_BASE_URL must be")
    assert url not in message


@pytest.mark.parametrize("tokens", ["0", "-1", "many", "1.5", "1e6", "99999999999", "²"])
def test_a_history_budget_must_be_a_whole_number(tokens: str) -> None:
    message = refused(LOCAL_HISTORY_TOKENS=tokens)
    assert message.startswith("LOCAL_HISTORY_TOKENS must be")


def test_a_provider_has_the_time_outs_of_all_or_its_own() -> None:
    variables = {"GROQ_API_KEY": SECRET, "GROQ_SILENCE_TIMEOUT": "2.5", "GROQ_CONNECT_TIMEOUT": "0.1"}
    providers = registry.load(lambda name, default: variables.get(name) or default, [], registry.Timeouts(turn=99))
    assert providers["local"].timeouts == registry.Timeouts(turn=99)
    assert providers["groq"].timeouts == registry.Timeouts(connect=0.1, silence=2.5, turn=99)


def test_a_custom_provider_has_time_outs_too() -> None:
    provider = load(["acme"], ACME_BASE_URL="http://x/v1", ACME_MODEL="m", ACME_FIRST_TOKEN_TIMEOUT="300")["acme"]
    assert provider.timeouts == registry.Timeouts(first_token=300)


@pytest.mark.parametrize("name", ["CONNECT", "FIRST_TOKEN", "SILENCE", "TURN"])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", "1e9", "0.01"])
def test_a_time_out_must_be_a_sane_number_of_seconds(name: str, seconds: str) -> None:
    message = refused(**{f"LOCAL_{name}_TIMEOUT": seconds})
    assert message.startswith(f"LOCAL_{name}_TIMEOUT must be a number of seconds")


def test_each_provider_has_its_own_stand_ins() -> None:
    providers = load(["local", "ollama", "acme"], ACME_BASE_URL="http://x/v1", ACME_MODEL="m")
    assert registry.fallbacks("", providers) == {}
    assert registry.fallbacks(" local = ollama, acme ; acme=local; ", providers) == {
        "local": ("ollama", "acme"),
        "acme": ("local",),
    }


@pytest.mark.parametrize(
    "value", ["local", "local=", "=local", "local=openai", "local=local", "local=ollama,ollama", "x"]
)
def test_stand_ins_must_be_configured_and_named_once(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^CHAT_FALLBACKS must look like"):
        registry.fallbacks(value, load(["local", "ollama"]))


def test_no_message_and_no_repr_shows_a_key() -> None:
    assert SECRET not in refused(["openai", "acme"], OPENAI_API_KEY=SECRET, ACME_API_KEY=SECRET)
    assert SECRET not in repr(load(OPENAI_API_KEY=SECRET))


def test_every_preset_is_complete() -> None:
    for preset in registry.PRESETS:
        assert preset.base_url.startswith("http"), preset.name
        assert preset.base_url.startswith("https://") or not preset.needs_key, preset.name
        assert preset.model, preset.name
        assert preset.model != preset.fallback_model, preset.name


def test_the_presets_are_those_of_the_documentation() -> None:
    names = "openai anthropic gemini groq openrouter mistral deepseek xai ollama local"
    assert [preset.name for preset in registry.PRESETS] == names.split()
