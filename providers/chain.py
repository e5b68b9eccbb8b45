"""Where a turn goes when an attempt fails: again to the same provider and model, to the provider's fallback model, to
the providers that stand in for it.

No library for this: tenacity and stamina repeat one call, and know nothing of a next candidate, of a stream that must
not be repeated once it has begun, or of a deadline that all of it shares. What is left of them is `backoff`.
"""

import random
from typing import NamedTuple

from django.conf import settings

from providers import errors
from providers.registry import Provider

OF_THE_ACCOUNT = (errors.AuthenticationFailed, errors.QuotaExhausted)
"""Failures that another model of the same provider would meet as well."""


class Candidate(NamedTuple):
    provider: Provider
    model: str


class Step(NamedTuple):
    """What comes after a failure."""

    wait: float
    """Seconds."""
    fallback: bool
    """Whether it is another candidate, not the same one again."""


class Chain:
    """The candidates of one turn. `current` is the one to ask now."""

    def __init__(self, provider: Provider, model: str) -> None:
        self.current, *self._rest = candidates(provider, model)
        self._asked = self.current
        self._retries = 0

    def after(self, error: errors.ProviderError, remaining: float) -> Step | None:
        """Moves on after `error`; None when the turn has failed. `remaining` is what the turn has left, in seconds."""
        if remaining <= 0:
            return None
        if error.retryable and self._retries < settings.CHAT_RETRIES:
            wait = backoff(self._retries, error.retry_after)
            if wait is not None and wait < remaining:
                self._retries += 1
                return Step(wait, fallback=False)
        # What a stand-in refuses, others may take: the request was not made for it.
        standing_in = self.current is not self._asked
        if not (error.retryable or error.falls_back or standing_in or self._is_misconfigured(error)):
            return None
        return self._fall_back(same_provider=not isinstance(error, OF_THE_ACCOUNT))

    def _fall_back(self, *, same_provider: bool) -> Step | None:
        while self._rest:
            candidate = self._rest.pop(0)
            if same_provider or candidate.provider is not self.current.provider:
                self.current, self._retries = candidate, 0
                return Step(0.0, fallback=True)
        return None

    def _is_misconfigured(self, error: errors.ProviderError) -> bool:
        """Whether it is the configured model that does not exist: then the caller, who named none, is not at fault."""
        provider, model = self.current
        return isinstance(error, errors.UnknownModel) and model in (provider.model, provider.fallback_model)


def candidates(provider: Provider, model: str) -> list[Candidate]:
    """Whom to ask, in order; each once."""
    chain = [Candidate(provider, model)]
    if provider.fallback_model:
        chain.append(Candidate(provider, provider.fallback_model))
    for name in settings.CHAT_FALLBACKS.get(provider.name, ()):
        stand_in = settings.CHAT_PROVIDERS[name]
        chain.append(Candidate(stand_in, stand_in.model))
    return list({(c.provider.name, c.model): c for c in chain}.values())


def backoff(retries: int, retry_after: float | None) -> float | None:
    """Seconds to wait after so many retries: exponential with full jitter, at least what the provider has asked for.

    None when that is more than CHAT_RETRY_WAIT_MAX. Why full jitter:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    longest: float = settings.CHAT_RETRY_WAIT_MAX
    if retry_after is not None and retry_after > longest:
        return None
    wait = random.uniform(0, min(longest, settings.CHAT_RETRY_WAIT * 2**retries))  # noqa: S311 (no secret)
    return max(wait, retry_after or 0.0)
