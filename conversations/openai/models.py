"""Which provider and model a name of a model means, and the list of those that are configured.

Many a model has a slash in its own name (`openai/gpt-oss-120b` is Groq's), so that the order matters:

1. `PROVIDER/MODEL` as GET /v1/models lists it, or a configured provider's name, which means its default model;
2. a default or fallback model by itself, of the first provider that has it, beginning with the default one;
3. a first segment that names a configured provider: the rest is a model of it;
4. any other name goes to the default provider as it is.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings

from providers.registry import Provider


class Target(NamedTuple):
    provider: Provider
    model: str

    @property
    def id(self) -> str:
        """Its name in the list; nothing else is called so."""
        return f"{self.provider.name}/{self.model}"


def target_of(name: str) -> Target:
    """What `model` means; see above."""
    if target := configured(name):
        return target
    first, _, rest = name.partition("/")
    if rest and first in settings.CHAT_PROVIDERS:
        return Target(settings.CHAT_PROVIDERS[first], rest)
    return Target(settings.CHAT_PROVIDERS[settings.CHAT_DEFAULT_PROVIDER], name)


def configured(name: str) -> Target | None:
    """By the first two rules; None for a model that only its provider may know."""
    targets = list(listed())
    for target in targets:
        if name == target.id:
            return target
    if provider := settings.CHAT_PROVIDERS.get(name):
        return Target(provider, provider.model)
    return next((target for target in targets if name == target.model), None)


def listed() -> Iterator[Target]:
    """Each provider's default and fallback model, the default provider's first."""
    default = settings.CHAT_DEFAULT_PROVIDER
    for provider in sorted(settings.CHAT_PROVIDERS.values(), key=lambda provider: provider.name != default):
        for model in dict.fromkeys((provider.model, provider.fallback_model)):
            if model:
                yield Target(provider, model)
