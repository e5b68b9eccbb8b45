"""The commands that manage keys: what they print, what they change, what they refuse."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from chatproject.apikeys import ledger
from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def prefix_of(plain: str) -> str:
    return plain.split("_")[1]


def in_a_span(moment: Any, span: timedelta) -> bool:
    return abs(moment - timezone.now() - span) < timedelta(minutes=1)


def test_a_key_is_created_with_scopes_expiry_and_limits() -> None:
    limits = ("--requests-per-minute=60", "--concurrent-turns=default", "--budget-day-usd=2.5")
    plain = run("create_api_key", "laptop", "--scopes=chat, read", "--expires=90d", *limits)
    key = authenticate(plain)
    assert key is not None
    assert key.scopes == ["chat", "read"]
    assert in_a_span(key.expires_at, timedelta(days=90))
    assert (key.requests_per_minute, key.concurrent_turns, key.budget_day_usd) == (60, None, Decimal("2.5"))


def test_a_key_has_every_scope_and_no_end_unless_told() -> None:
    key = authenticate(run("create_api_key", "laptop"))
    assert key is not None
    assert (key.scopes, key.expires_at, key.metered) == (["chat", "read", "admin"], None, False)


@pytest.mark.parametrize(
    "option",
    [
        "--scopes=chat,write",
        "--scopes=",
        "--expires=tomorrow",
        "--expires=36501d",
        "--tokens-per-minute=-1",
        "--tokens-per-minute=1e3",
        "--budget-month-usd=nan",
        "--budget-month-usd=0.00001",
        "--budget-month-usd=-1",
    ],
)
def test_it_refuses_what_cannot_be(option: str) -> None:
    with pytest.raises(CommandError, match=option.split("=")[0]):
        run("create_api_key", "laptop", option)
    assert not ApiKey.objects.exists()


def test_limits_are_changed_one_by_one() -> None:
    prefix = prefix_of(run("create_api_key", "laptop", "--budget-day-usd=5", "--tokens-per-minute=9"))
    printed = run("set_api_key_limits", prefix, "--budget-day-usd=0", "--tokens-per-minute=default", "--scopes=read")
    assert "budget_day_usd: none\n" in printed
    assert "tokens_per_minute: none (the server's default)" in printed
    key = ApiKey.objects.get()
    assert (key.budget_day_usd, key.tokens_per_minute, key.scopes) == (0, None, ["read"])
    run("set_api_key_limits", prefix, "--concurrent-turns=3", "--expires=30d")
    key.refresh_from_db()
    assert in_a_span(key.expires_at, timedelta(days=30))
    assert (key.budget_day_usd, key.concurrent_turns) == (0, 3)


def test_rotation_prints_the_new_key_alone() -> None:
    old = run("create_api_key", "laptop")
    new = run("rotate_api_key", prefix_of(old), "--overlap=90m", "--expires=30d")
    assert authenticate(new) == authenticate(old)
    assert in_a_span(ApiKey.objects.get(prefix=prefix_of(old)).expires_at, timedelta(minutes=90))
    assert in_a_span(ApiKey.objects.get(prefix=prefix_of(new)).expires_at, timedelta(days=30))


def test_revoking() -> None:
    plain = run("create_api_key", "laptop")
    assert "is revoked" in run("revoke_api_key", prefix_of(plain))
    assert authenticate(plain) is None


@pytest.mark.parametrize("command", ["rotate_api_key", "revoke_api_key", "set_api_key_limits"])
def test_an_unknown_prefix_is_an_error(command: str) -> None:
    with pytest.raises(CommandError, match=r"'unknown0'.*list_api_keys"):
        run(command, "unknown0")


def test_the_list_shows_state_and_spend_and_no_secret(owner: User) -> None:
    plains = [run("create_api_key", name, "--budget-month-usd=5") for name in ("one", "two", "three")]
    run("rotate_api_key", prefix_of(plains[1]))
    run("revoke_api_key", prefix_of(plains[2]))
    spender, turn = ApiKey.objects.get(prefix=prefix_of(plains[0])), uuid4()
    ledger.reserve(spender, turn, 1, Decimal(1))
    ledger.settle(turn, 1, Decimal("0.25"))
    rows = [json.loads(line) for line in run("list_api_keys", "--json").splitlines()]
    assert sorted((row["name"], row["state"], row["today_usd"]) for row in rows) == [
        ("one", "Active", "0.2500"),
        ("three", "Revoked", "0.0000"),
        ("two", "Active", "0.0000"),
        ("two", "Replaced", ""),
    ]
    assert [row["limits"] for row in rows if row["name"] == "one"] == [{"budget_month_usd": "5.0000"}]
    table = run("list_api_keys", "--user=one")
    assert "0.2500" in table
    assert len(table.splitlines()) == 2
    assert not any(plain.split("_")[2] in table + str(rows) for plain in plains)


def test_a_budget_that_no_price_list_backs_is_warned_of(settings: Settings) -> None:
    settings.CHAT_PROVIDERS = settings.CHAT_PROVIDERS | {"ours": unpriced(settings)}
    err = StringIO()
    call_command("create_api_key", "laptop", "--budget-day-usd=1", stdout=StringIO(), stderr=err)
    assert "ours" in err.getvalue()
    assert "apikeys.W001" not in [warning.id for warning in run_checks()]
    settings.CHAT_KEY_LIMITS = settings.CHAT_KEY_LIMITS | {"budget_day_usd": Decimal(1)}
    [warning] = [warning for warning in run_checks() if warning.id == "apikeys.W001"]
    assert "ours" in warning.msg


def unpriced(settings: Settings) -> Any:
    return replace(settings.CHAT_PROVIDERS["local"], name="ours")


def test_the_list_has_no_spend_of_a_key_whose_turns_are_not_counted() -> None:
    run("create_api_key", "unlimited")
    [row] = map(json.loads, run("list_api_keys", "--json").splitlines())
    assert (row["today_usd"], row["month_usd"]) == ("", "")
