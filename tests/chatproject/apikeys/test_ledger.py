"""The ledger: what a turn reserves counts until it is settled, and then what it cost, once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chatproject.apikeys import ledger
from chatproject.apikeys.models import ApiKey, LedgerDay, LedgerEntry
from chatproject.problems import Problem

CENT = Decimal("0.01")


def key_with(owner: User, **limits: Any) -> ApiKey:
    key, _ = ApiKey.objects.issue(user=owner, name="key", **limits)
    key.refresh_from_db()
    return key


def reserve(key: ApiKey, tokens: int = 100, cost: Decimal = CENT) -> UUID:
    turn = uuid4()
    assert ledger.reserve(key, turn, tokens, cost)
    return turn


def refused(key: ApiKey, tokens: int = 100, cost: Decimal = CENT) -> Problem:
    with pytest.raises(Problem) as raised, transaction.atomic():
        ledger.reserve(key, uuid4(), tokens, cost)
    assert raised.value.status == 429
    return raised.value


def move(turn: UUID, **back: float) -> None:
    """Makes a turn one that began so long ago."""
    LedgerEntry.objects.filter(pk=turn).update(created_at=timezone.now() - timedelta(**back))


# --- budgets


def test_a_budget_for_ten_turns_lets_ten_through(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.1")
    for _ in range(10):
        reserve(key)
    problem = refused(key)
    assert problem.code == "budget_exhausted"
    assert "$0.1" in problem.detail
    assert problem.headers["Retry-After"] == "5", "turns under way hold it, and most give some back"


def test_sums_are_exact_where_floats_are_not(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.3")
    for _ in range(3):
        ledger.settle(reserve(key, cost=Decimal("0.1")), 1, Decimal("0.1"))
    assert refused(key, cost=Decimal("0.00000001")).code == "budget_exhausted"
    assert ledger.spend_of(key, timezone.now()).day == Decimal("0.3")


def test_what_a_turn_did_not_cost_is_free_again(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.1")
    turn = reserve(key, cost=CENT * 10)
    refused(key)
    ledger.settle(turn, 50, CENT)
    reserve(key, cost=CENT * 9)
    refused(key)


def test_a_failed_turn_costs_nothing(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.01")
    ledger.settle(reserve(key), None, None)
    reserve(key)


def test_settling_again_changes_nothing(owner: User) -> None:
    key = key_with(owner, budget_day_usd=1)
    turn = reserve(key)
    ledger.settle(turn, 7, CENT)
    ledger.settle(turn, 9, CENT * 2)
    entry = LedgerEntry.objects.get()
    assert (entry.tokens, entry.cost) == (7, CENT)
    total = LedgerDay.objects.get()
    assert (total.turns, total.tokens, total.cost) == (1, 7, CENT)
    ledger.settle(uuid4(), 9, CENT)
    assert LedgerDay.objects.count() == 1, "of a turn that was never entered"


def test_a_turn_whose_worker_was_killed_goes_on_counting_as_reserved(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.01", concurrent_turns=1)
    turn = reserve(key)
    assert refused(key).code == "too_many_turns"
    LedgerEntry.objects.filter(pk=turn).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert refused(key).code == "budget_exhausted", "as running no more, as reserved still"


def test_the_month_holds_where_the_day_begins_anew(owner: User) -> None:
    now = timezone.now()
    yesterday = max(ledger.start_of_month(now), now - timedelta(days=1)).date()
    key = key_with(owner, budget_day_usd="0.05", budget_month_usd="0.06")
    LedgerDay.objects.create(key=key, day=yesterday, turns=1, tokens=1, cost=CENT * 5)
    if yesterday == now.date():
        pytest.skip("the first day of a month")
    reserve(key)
    assert "month" in refused(key).detail
    LedgerDay.objects.update(day=ledger.start_of_month(now).date() - timedelta(days=1))
    reserve(key, cost=CENT * 4)
    assert "day" in refused(key).detail


def test_it_says_when_the_budget_begins_anew(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.01")
    ledger.settle(reserve(key), 1, CENT)
    wait = int(refused(key).headers["Retry-After"])
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(wait - (midnight - now).total_seconds()) < 5


def test_no_waiting_helps_a_turn_that_is_larger_than_the_budget(owner: User) -> None:
    problem = refused(key_with(owner, budget_month_usd="0.005"))
    assert "Retry-After" not in problem.headers
    assert "max_tokens" in problem.detail


# --- tokens and turns


def test_tokens_count_for_a_minute(owner: User) -> None:
    key = key_with(owner, tokens_per_minute=250)
    first = reserve(key)
    reserve(key)
    problem = refused(key)
    assert problem.code == "too_many_tokens"
    assert 55 <= int(problem.headers["Retry-After"]) <= 60
    assert problem.headers["RateLimit-Policy"] == '"tokens";q=250;qu="tokens";w=60'
    assert problem.headers["RateLimit"] == f'"tokens";r=0;t={problem.headers["Retry-After"]}'
    move(first, seconds=61)
    reserve(key)


def test_a_settled_turn_counts_with_the_tokens_that_it_took(owner: User) -> None:
    key = key_with(owner, tokens_per_minute=250)
    ledger.settle(reserve(key, tokens=250), 10, None)
    reserve(key, tokens=240)
    refused(key, tokens=1)


def test_a_turn_of_more_tokens_than_a_minute_has_is_told_so(owner: User) -> None:
    problem = refused(key_with(owner, tokens_per_minute=99))
    assert "Retry-After" not in problem.headers
    assert "lower max_tokens" in problem.detail


def test_turns_at_once(owner: User) -> None:
    key = key_with(owner, concurrent_turns=2)
    first, _ = reserve(key), reserve(key)
    problem = refused(key)
    assert (problem.code, problem.headers["Retry-After"]) == ("too_many_turns", "1")
    ledger.settle(first, 1, None)
    reserve(key)


def test_the_heartbeat_keeps_a_turn_running(owner: User) -> None:
    key = key_with(owner, concurrent_turns=1)
    turn = reserve(key)
    LedgerEntry.objects.update(lease_until=timezone.now())
    ledger.keep_alive([turn])
    assert refused(key).code == "too_many_turns"


# --- whose limits


def test_a_key_without_limits_pays_no_statement(owner: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    key = key_with(owner, requests_per_minute=5)
    with django_assert_num_queries(0):
        assert not ledger.reserve(key, uuid4(), 10**9, Decimal(10**6))


def test_the_servers_default_holds_where_a_key_has_no_limit_of_its_own(owner: User, settings: Settings) -> None:
    settings.CHAT_KEY_LIMITS = settings.CHAT_KEY_LIMITS | {"budget_day_usd": CENT}
    ours, own, none = (key_with(owner, budget_day_usd=budget) for budget in (None, "0.02", 0))
    assert [key.limit("budget_day_usd") for key in (ours, own, none)] == [CENT, CENT * 2, 0]
    reserve(ours)
    refused(ours)
    assert not none.metered


def test_keys_do_not_share_a_budget(owner: User) -> None:
    one, other = (key_with(owner, budget_day_usd="0.01") for _ in range(2))
    reserve(one)
    reserve(other)


def test_a_key_that_is_deleted_meanwhile_is_refused(owner: User) -> None:
    key = key_with(owner, budget_day_usd=1)
    ApiKey.objects.all().delete()
    with pytest.raises(Problem, match="invalid_api_key"), transaction.atomic():
        ledger.reserve(key, uuid4(), 1, CENT)


# --- the proof


def test_the_check_passes_when_totals_and_entries_agree(owner: User) -> None:
    key = key_with(owner, budget_day_usd=1)
    for back in (0, 0, 24, 49):
        turn = reserve(key)
        move(turn, hours=back)
        ledger.settle(turn, 3, CENT)
    reserve(key)
    out = StringIO()
    call_command("check_ledger", stdout=out)
    assert "Every total" in out.getvalue()
    assert LedgerDay.objects.count() in {3, 4}


def test_the_check_names_the_day_of_a_total_that_drifted(owner: User) -> None:
    key = key_with(owner, budget_day_usd=1)
    ledger.settle(reserve(key), 3, CENT)
    LedgerDay.objects.update(cost=CENT * 2)
    err = StringIO()
    with pytest.raises(CommandError, match="1 totals are wrong"):
        call_command("check_ledger", stderr=err)
    assert f"Key {key.pk}, {LedgerDay.objects.get().day}" in err.getvalue()


def test_it_waits_until_enough_tokens_are_a_minute_old(owner: User) -> None:
    key = key_with(owner, tokens_per_minute=1_000)
    move(reserve(key, tokens=10), seconds=59)
    reserve(key, tokens=900)
    assert int(refused(key, tokens=95).headers["Retry-After"]) <= 2
    assert int(refused(key, tokens=900).headers["Retry-After"]) > 55, "the ten that are free soon are not enough"


def test_what_a_killed_worker_holds_is_not_to_be_waited_for(owner: User) -> None:
    key = key_with(owner, budget_day_usd="0.02")
    reserve(key)
    turn = reserve(key)
    assert refused(key).headers["Retry-After"] == "5"
    LedgerEntry.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert refused(key).headers.get("Retry-After") != "5"
    ledger.keep_alive([turn])
    assert refused(key).headers["Retry-After"] == "5"


def test_the_check_does_not_call_a_turn_that_ends_meanwhile_a_mistake(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, looks = key_with(owner, budget_day_usd="1"), []
    look = ledger._disagreements

    def with_a_turn_in_between() -> list[Any]:
        looks.append(1)
        return [(key.pk, timezone.now().date())] if len(looks) == 1 else look()

    monkeypatch.setattr(ledger, "_disagreements", with_a_turn_in_between)
    assert ledger.disagreements() == []
    assert len(looks) == 2
