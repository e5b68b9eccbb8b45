"""What metered keys spend. A turn reserves what it may cost at most before it begins, and is settled with its end.

Each is part of the transaction that begins or ends the turn, so that no turn is without its entry and no cost is
counted twice. Nothing is ever estimated from a counter that could drift: budgets are held against entries, and against
totals of days that the same transactions write (`manage.py check_ledger` proves that they agree).

A turn whose worker was killed is never settled: it goes on counting as what it has reserved, since nobody knows what
the provider charged. As running it counts only until its lease has run out.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from chatproject.apikeys.dollars import DollarField, rounded_up
from chatproject.apikeys.limits import refusal
from chatproject.apikeys.models import ApiKey, LedgerDay, LedgerEntry

LEASE = timedelta(seconds=15)
"""How long a turn whose worker has died counts as running; several heartbeats."""

MINUTE = timedelta(minutes=1)
LONGEST_TURN = timedelta(days=1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Spend:
    """Of a day and its month, in US dollars: what is settled, and what the open entries have reserved."""

    day: Decimal
    month: Decimal
    day_reserved: Decimal
    month_reserved: Decimal


@transaction.atomic(savepoint=False)
def reserve(key: ApiKey, turn_id: UUID, tokens: int, cost: Decimal) -> bool:
    """Enters a turn that may take so many tokens and cost so many US dollars, at most; whether the key is metered.

    To be called in the transaction that begins the turn. Raises Problem `too_many_turns`, `too_many_tokens` or
    `budget_exhausted` (429), or `invalid_api_key` when the key has just been deleted.
    """
    if not key.metered:
        return False
    # Whoever reserves for this key waits here for the one before. no_key: entries may refer to the row meanwhile.
    if not ApiKey.objects.select_for_update(no_key=True).filter(pk=key.pk).values_list("pk").first():
        raise refusal("invalid_api_key", "The key was deleted.")
    now, cost = timezone.now(), rounded_up(cost)
    _check_turns(key, now)
    _check_tokens(key, now, tokens)
    _check_budgets(key, now, cost)
    LedgerEntry.objects.create(
        turn_id=turn_id, key=key, created_at=now, tokens_reserved=tokens, cost_reserved=cost, lease_until=now + LEASE
    )
    return True


@transaction.atomic(savepoint=False)
def settle(turn_id: UUID, tokens: int | None, cost: Decimal | None) -> None:
    """Enters what the turn has taken and cost; None is unknown, and counts as 0. Does nothing for one that is settled
    or was never entered. To be called in the transaction that ends the turn.
    """
    waiting = LedgerEntry.objects.filter(pk=turn_id, settled_at=None)
    entry = waiting.first()
    tokens, cost = tokens or 0, rounded_up(cost or ZERO)
    if entry and waiting.update(tokens=tokens, cost=cost, settled_at=timezone.now(), lease_until=None):
        _add_to_day(entry.key_id, day_of(entry.created_at), tokens, cost)


def keep_alive(turns: Collection[UUID]) -> None:
    """Says that these turns still run."""
    LedgerEntry.objects.filter(pk__in=turns, settled_at=None).update(lease_until=timezone.now() + LEASE)


def spend_of(key: ApiKey, now: datetime) -> Spend:
    # The open entries first: one that is settled between the two is then counted twice, and not left out.
    day, month = day_of(now), start_of_month(now)
    since = LedgerEntry.objects.filter(key=key, settled_at=None, created_at__gte=month)
    held = since.aggregate(
        month=Sum("cost_reserved"), day=Sum("cost_reserved", filter=Q(created_at__gte=start_of_day(now)))
    )
    days = LedgerDay.objects.filter(key=key, day__gte=month.date())
    spent = days.aggregate(month=Sum("cost"), day=Sum("cost", filter=Q(day=day)))
    return Spend(spent["day"] or ZERO, spent["month"] or ZERO, held["day"] or ZERO, held["month"] or ZERO)


def _check_turns(key: ApiKey, now: datetime) -> None:
    limit = key.limit("concurrent_turns")
    if not limit:
        return
    entries = LedgerEntry.objects.filter(key=key, settled_at=None, created_at__gte=now - LONGEST_TURN)
    if entries.filter(lease_until__gt=now).count() >= limit:
        detail = f"This key may have {limit} turns under way at once; wait for one to end."
        raise refusal("too_many_turns", detail, retry_after=1, quota=limit, unit="concurrent-turns")


def _check_tokens(key: ApiKey, now: datetime, tokens: int) -> None:
    limit = key.limit("tokens_per_minute")
    if not limit:
        return
    entries = LedgerEntry.objects.filter(key=key, created_at__gt=now - MINUTE)
    taken = entries.aggregate(tokens=Sum(Coalesce("tokens", "tokens_reserved")))["tokens"] or 0
    if taken + tokens <= limit:
        return
    detail = f"This key may take {limit} tokens a minute, and the turn may need {tokens}"
    alone = tokens > limit  # then no waiting helps
    advice = "; lower max_tokens." if alone else f"; {taken} are taken."
    raise refusal(
        "too_many_tokens",
        detail + advice,
        retry_after=None if alone else _until_free(entries, taken + tokens - limit, now),
        quota=limit,
        unit="tokens",
        window=60,
    )


def _until_free(entries: QuerySet[LedgerEntry], tokens: int, now: datetime) -> int:
    """In how many seconds so many tokens are more than a minute old."""
    rows = entries.order_by("created_at").values_list("created_at", Coalesce("tokens", "tokens_reserved"))
    for created_at, taken in rows.iterator():
        tokens -= taken
        if tokens <= 0:
            left: timedelta = created_at + MINUTE - now
            return max(1, math.ceil(left.total_seconds()))
    return 60


def _check_budgets(key: ApiKey, now: datetime, cost: Decimal) -> None:
    day, month = key.limit("budget_day_usd"), key.limit("budget_month_usd")
    if not (day or month):
        return
    spend = spend_of(key, now)
    if day and spend.day + spend.day_reserved + cost > day:
        stuck = spend.day + _abandoned(key, start_of_day(now), now)
        raise _exhausted("day", day, spend.day, stuck, cost, start_of_day(now) + timedelta(days=1) - now)
    if month and spend.month + spend.month_reserved + cost > month:
        stuck = spend.month + _abandoned(key, start_of_month(now), now)
        raise _exhausted("month", month, spend.month, stuck, cost, start_of_next_month(now) - now)


def _abandoned(key: ApiKey, since: datetime, now: datetime) -> Decimal:
    """What turns of killed workers hold, in US dollars: they will not give it back."""
    entries = LedgerEntry.objects.filter(key=key, settled_at=None, created_at__gte=since, lease_until__lte=now)
    return entries.aggregate(held=Sum("cost_reserved"))["held"] or ZERO


def _exhausted(
    period: str, budget: Decimal, spent: Decimal, stuck: Decimal, cost: Decimal, rest: timedelta
) -> Exception:
    """`stuck` is what no turn under way will give back: the spent, and what killed workers have left reserved."""
    detail = (
        f"The key's budget of a {period} is ${budget.normalize():f}, of which ${spent:.4f} are spent; the turn may"
        f" cost ${cost:.4f}"
    )
    if cost > budget:
        return refusal("budget_exhausted", f"{detail}: lower max_tokens, or shorten it.", retry_after=None)
    if stuck + cost <= budget:  # turns under way hold the rest
        return refusal("budget_exhausted", f"{detail}. Turns under way hold the rest: try again soon.", retry_after=5)
    wait = max(1, math.ceil(rest.total_seconds()))
    return refusal("budget_exhausted", f"{detail}. It begins anew with the {period}, in UTC.", retry_after=wait)


def _add_to_day(key_id: int, day: date, tokens: int, cost: Decimal) -> None:
    total = LedgerDay.objects.filter(key=key_id, day=day)
    more = {
        "turns": F("turns") + 1,
        "tokens": F("tokens") + tokens,
        "cost": F("cost") + Value(cost, output_field=DollarField()),
    }
    if not total.update(**more):
        # The day's first; of two at once the second finds the first's row.
        LedgerDay.objects.bulk_create([LedgerDay(key_id=key_id, day=day)], ignore_conflicts=True)
        total.update(**more)


def day_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def start_of_day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def start_of_month(moment: datetime) -> datetime:
    return start_of_day(moment).replace(day=1)


def start_of_next_month(moment: datetime) -> datetime:
    return start_of_month(start_of_month(moment) + timedelta(days=32))


def disagreements() -> list[tuple[int, date]]:
    """The keys' ids and days whose total is not the sum of its settled entries.

    Looks again at what it finds: a turn may have been settled between its two queries.
    """
    found = _disagreements()
    return [which for which in _disagreements() if which in found] if found else []


def _disagreements() -> list[tuple[int, date]]:
    sums: dict[tuple[int, date], list[Decimal | int]] = {}
    entries = LedgerEntry.objects.exclude(settled_at=None).order_by()
    rows = entries.values_list("key_id", "created_at__date").annotate(Count("pk"), Sum("tokens"), Sum("cost"))
    sums = {(key_id, day): rest for key_id, day, *rest in rows}
    days = LedgerDay.objects.values_list("key_id", "day", "turns", "tokens", "cost")
    totals = {(key_id, day): rest for key_id, day, *rest in days}
    return sorted(which for which in sums.keys() | totals.keys() if sums.get(which) != totals.get(which))
