"""Which providers there are: one row of data each. Only behaviour would earn a module.

Base URLs, model names and quirks were checked against the providers' public documentation in November 2026;
`<NAME>_BASE_URL`, `<NAME>_MODEL` and `<NAME>_FALLBACK_MODEL` override them without a new release.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from django.core.exceptions import ImproperlyConfigured

from chatproject.env import FALSE, TRUE, http_url

SHORTEST, LONGEST = 0.1, 86_400.0
"""Seconds: the bounds of a time-out, for all providers or one."""

Read = Callable[[str, str], str]
"""Reads a variable of the environment, (name, default) -> value; an empty one is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for a provider, in seconds."""

    connect: float = 5.0
    first_token: float = 60.0
    """From the request to the first token; comments and empty deltas are none."""
    silence: float = 30.0
    """Between two tokens."""
    turn: float = 300.0
    """For the whole turn, with its retries and fallbacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An OpenAI-compatible endpoint: where it is, how to ask it, and what it calls things."""

    name: str
    label: str
    base_url: str
    model: str
    fallback_model: str = ""
    api_key: str = field(default="", repr=False)
    needs_key: bool = True
    history_tokens: int = 100_000
    """Token budget of the history sent along; well below the smallest context of the provider's usual models."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True
    """Whether it takes `stream_options.include_usage`; those that refuse it send the usage anyway."""
    request_id_header: str = "x-request-id"
    price_id: str = ""
    """The provider's id in genai-prices; empty when it has no price list."""
    short_call_ids: bool = False
    """Whether the ids of tool calls must have nine letters and digits."""
    wants_reasoning: bool = False
    """Whether it refuses the results of tool calls without the reasoning that led to them."""
    images: bool = True
    """Whether its models take images."""
    timeouts: Timeouts = Timeouts()

    def variable(self, suffix: str) -> str:
        """The environment variable that overrides a value, e.g. OPENAI_BASE_URL."""
        return f"{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}_{suffix}"


PRESETS = (
    Provider(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        model="gpt-6.1-terra",
        fallback_model="gpt-6-luna",
        max_tokens_field="max_completion_tokens",  # `max_tokens` is refused by its reasoning models
        price_id="openai",
    ),
    Provider(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        model="claude-sonnet-5-5",
        fallback_model="claude-haiku-5-5",
        request_id_header="request-id",
        price_id="anthropic",
    ),
    Provider(
        name="gemini",
        label="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        model="gemini-3.8-flash",
        fallback_model="gemini-3.5-flash-lite",
        price_id="google",
    ),
    Provider(
        name="groq",
        label="Groq",
        base_url="https://api.groq.com/openai/v1",
        model="openai/gpt-oss-120b",
        fallback_model="openai/gpt-oss-20b",
        max_tokens_field="max_completion_tokens",
        price_id="groq",
    ),
    Provider(
        name="openrouter",
        label="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        model="openai/gpt-6.1-terra",
        fallback_model="deepseek/deepseek-v4.1-flash",
        request_id_header="x-generation-id",
        price_id="openrouter",
    ),
    Provider(
        name="mistral",
        label="Mistral",
        base_url="https://api.mistral.ai/v1",
        model="mistral-medium-3-5",
        fallback_model="mistral-small-2603",
        stream_usage=False,
        short_call_ids=True,
        request_id_header="mistral-correlation-id",
        price_id="mistral",
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        model="deepseek-flash",
        fallback_model="deepseek-v4-pro",
        wants_reasoning=True,
        request_id_header="x-ds-trace-id",
        price_id="deepseek",
    ),
    Provider(
        name="xai",
        label="xAI",
        base_url="https://api.x.ai/v1",
        model="grok-4.7",
        fallback_model="grok-4.3",
        price_id="x-ai",
    ),
    Provider(
        name="ollama",
        label="Ollama",
        base_url="http://localhost:11434/v1",
        model="gpt-oss:20b",
        fallback_model="gemma4",
        needs_key=False,
        history_tokens=3_000,  # its smallest default context is 4,096; it truncates silently
    ),
    Provider(
        name="local",
        label="Embedded model",
        base_url="http://127.0.0.1:8099/v1",
        model="smollm2-135m-instruct",
        needs_key=False,
        history_tokens=6_000,  # of its 8,192
        images=False,
    ),
)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def load(read: Read, enabled: list[str], timeouts: Timeouts) -> Mapping[str, Provider]:
    """The configured providers by name, in the order of `enabled` or, when that is empty, of the presets.

    An empty list means every preset that has a key, and `local`. A name that is no preset is a custom
    OpenAI-compatible provider. `timeouts` are those of a provider that has none of its own. Raises
    ImproperlyConfigured with the variable's name.
    """
    presets = {preset.name: _override(replace(preset, timeouts=timeouts), read) for preset in PRESETS}
    if not enabled:
        return {name: p for name, p in presets.items() if p.api_key or name == "local"}
    return {name: _require_key(presets[name]) if name in presets else _custom(name, read, timeouts) for name in enabled}


def _override(row: Provider, read: Read) -> Provider:
    return replace(
        row,
        api_key=_api_key(row, read),
        base_url=_base_url(row, read),
        model=read(row.variable("MODEL"), row.model),
        fallback_model=read(row.variable("FALLBACK_MODEL"), row.fallback_model),
        history_tokens=_budget(row, read),
        images=_images(row, read),
        timeouts=Timeouts(**{name: _timeout(row, name, read) for name in asdict(row.timeouts)}),
    )


def _api_key(row: Provider, read: Read) -> str:
    name = row.variable("API_KEY")
    key = read(name, "")
    if not key.isascii() or len(key.split()) > 1:
        raise ImproperlyConfigured(f"{name} must be a key of ASCII characters without spaces or comments.")
    return key


def _base_url(row: Provider, read: Read) -> str:
    name = row.variable("BASE_URL")
    url = http_url(name, read(name, row.base_url))
    if "?" in url or "#" in url:  # it is shown and logged, so it is no place for a key
        raise ImproperlyConfigured(f"{name} must be a URL without a query or fragment.")
    return url


def _budget(row: Provider, read: Read) -> int:
    name = row.variable("HISTORY_TOKENS")
    value = read(name, str(row.history_tokens))
    if not value.isdecimal() or not 0 < int(value) <= 10_000_000:
        raise ImproperlyConfigured(f"{name} must be a whole number of tokens, at least 1.")
    return int(value)


def _images(row: Provider, read: Read) -> bool:
    name = row.variable("IMAGES")
    value = read(name, "true" if row.images else "false").lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be true or false.")
    return value in TRUE


def _timeout(row: Provider, name: str, read: Read) -> float:
    variable = row.variable(f"{name.upper()}_TIMEOUT")
    try:
        value = float(read(variable, str(getattr(row.timeouts, name))))
    except ValueError:
        value = float("nan")
    if not SHORTEST <= value <= LONGEST:  # also false for nan
        raise ImproperlyConfigured(f"{variable} must be a number of seconds from {SHORTEST:g} to {LONGEST:g}.")
    return value


def _require_key(row: Provider) -> Provider:
    if row.needs_key and not row.api_key:
        raise ImproperlyConfigured(f"CHAT_PROVIDERS names {row.name}, so {row.variable('API_KEY')} must be set.")
    return row


def _custom(name: str, read: Read, timeouts: Timeouts) -> Provider:
    if not _NAME.fullmatch(name):
        raise ImproperlyConfigured(
            "CHAT_PROVIDERS may only hold names of lower-case letters, digits, - and _, separated by commas."
        )
    row = Provider(
        name=name, label=name, base_url="", model="", needs_key=False, history_tokens=6_000, timeouts=timeouts
    )
    for suffix in ("BASE_URL", "MODEL"):
        if not read(row.variable(suffix), ""):
            presets = ", ".join(preset.name for preset in PRESETS)
            raise ImproperlyConfigured(
                f"CHAT_PROVIDERS names a provider that is no preset ({presets}), so {row.variable(suffix)} must be set."
            )
    return _override(row, read)


def fallbacks(value: str, providers: Mapping[str, Provider]) -> dict[str, tuple[str, ...]]:
    """The providers that stand in for another, of `openai=anthropic,groq;groq=openai`. Raises ImproperlyConfigured."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in value.split(";"))):
        name, _, rest = entry.partition("=")
        names = [part.strip() for part in (name, *rest.split(","))]
        if len(names) != len(set(names)) or any(name not in providers for name in names):
            raise ImproperlyConfigured(
                "CHAT_FALLBACKS must look like openai=anthropic,groq;groq=openai, each name configured, and once."
            )
        found[names[0]] = tuple(names[1:])
    return found
