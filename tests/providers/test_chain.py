"""Whom a turn asks, in which order, and how long it waits between."""

import pytest
from pytest_django import Settings

from providers import errors
from providers.chain import Candidate, Chain, Step, backoff, candidates
from providers.registry import Provider

MAIN = Provider(name="main", label="Main", base_url="http://main", model="big", fallback_model="small")
OTHER = Provider(name="other", label="Other", base_url="http://other", model="llama")
LAST = Provider(name="last", label="Last", base_url="http://last", model="tiny", fallback_model="unused")


@pytest.fixture(autouse=True)
def configured(settings: Settings) -> Settings:
    settings.CHAT_PROVIDERS = {p.name: p for p in (MAIN, OTHER, LAST)}
    settings.CHAT_FALLBACKS = {"main": ("other", "last")}
    settings.CHAT_RETRIES = 1
    settings.CHAT_RETRY_WAIT = 0.5
    settings.CHAT_RETRY_WAIT_MAX = 10.0
    return settings


def walk(chain: Chain, error: errors.ProviderError) -> list[str]:
    """The models asked when each one fails with `error`."""
    asked = [chain.current.model]
    while chain.after(error, remaining=100):
        asked.append(chain.current.model)
    return asked


def error(kind: type[errors.ProviderError], retry_after: float | None = None) -> errors.ProviderError:
    return kind(provider="Main", retry_after=retry_after)


def test_the_model_asked_comes_first_then_the_providers_own_then_the_stand_ins() -> None:
    assert candidates(MAIN, "mine") == [
        Candidate(MAIN, "mine"),
        Candidate(MAIN, "small"),
        Candidate(OTHER, "llama"),
        Candidate(LAST, "tiny"),
    ]


def test_nobody_is_a_candidate_twice() -> None:
    assert candidates(MAIN, "small") == [Candidate(MAIN, "small"), Candidate(OTHER, "llama"), Candidate(LAST, "tiny")]


def test_no_other_company_sees_the_text_by_default(settings: Settings) -> None:
    settings.CHAT_FALLBACKS = {}
    assert candidates(MAIN, "big") == [Candidate(MAIN, "big"), Candidate(MAIN, "small")]


@pytest.mark.parametrize("kind", [kind for kind in errors.ALL if kind.retryable])
def test_what_may_pass_is_tried_again_and_then_elsewhere(kind: type[errors.ProviderError]) -> None:
    assert walk(Chain(MAIN, "big"), error(kind)) == ["big", "big", "small", "small", "llama", "llama", "tiny", "tiny"]


def test_an_open_circuit_is_not_tried_again_but_elsewhere() -> None:
    assert walk(Chain(MAIN, "big"), error(errors.CircuitOpen)) == ["big", "small", "llama", "tiny"]


@pytest.mark.parametrize("kind", [errors.AuthenticationFailed, errors.QuotaExhausted])
def test_what_is_wrong_with_our_account_is_wrong_for_its_other_model_too(kind: type[errors.ProviderError]) -> None:
    assert walk(Chain(MAIN, "big"), error(kind)) == ["big", "llama", "tiny"]


@pytest.mark.parametrize("kind", [errors.BadRequest, errors.ContextTooLong, errors.ContentFiltered])
def test_what_is_wrong_with_the_request_ends_the_turn(kind: type[errors.ProviderError]) -> None:
    assert walk(Chain(MAIN, "big"), error(kind)) == ["big"]


def test_a_model_that_the_caller_made_up_ends_the_turn() -> None:
    assert walk(Chain(MAIN, "gpt-9000"), error(errors.UnknownModel)) == ["gpt-9000"]


def test_a_configured_model_that_is_gone_is_the_operators_fault() -> None:
    assert walk(Chain(MAIN, "big"), error(errors.UnknownModel)) == ["big", "small", "llama", "tiny"]


def test_a_wait_within_bounds_is_honoured() -> None:
    step = Chain(MAIN, "big").after(error(errors.RateLimited, retry_after=7), remaining=100)
    assert step == Step(7, fallback=False)


def test_too_long_a_wait_leads_elsewhere_at_once() -> None:
    chain = Chain(MAIN, "big")
    assert chain.after(error(errors.RateLimited, retry_after=11), remaining=100) == Step(0, fallback=True)
    assert chain.current == Candidate(MAIN, "small")


def test_no_wait_goes_beyond_the_turns_end() -> None:
    chain = Chain(OTHER, "llama")
    assert chain.after(error(errors.RateLimited, retry_after=7), remaining=5) is None


def test_nobody_is_asked_after_the_turns_end() -> None:
    assert Chain(MAIN, "big").after(error(errors.ServerError), remaining=0) is None


def test_waits_are_random_and_double_up_to_the_longest() -> None:
    for retries, longest in enumerate((0.5, 1, 2, 4, 8, 10, 10)):
        waits = [backoff(retries, None) for _ in range(300)]
        assert all(wait is not None and 0 <= wait <= longest for wait in waits)
        assert max(wait or 0 for wait in waits) > longest * 0.8
        assert min(wait or 0 for wait in waits) < longest * 0.2
