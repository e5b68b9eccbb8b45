"""What the turns of a user were and cost, added up by day, provider and model as they end.

A turn costs one statement; reading never touches the messages. Times to first token go into buckets whose width is a
tenth of their value, so that a percentile of any group is read off the sums of its buckets, at most 5 % off.

A turn is counted when its worker stores its end. One whose worker was killed has no such end and is not counted.
What has been counted stays when conversations are deleted; it goes with its user.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Sum

from chatproject.problems import Problem
from conversations.models import Status, TurnStatistics

WIDTH = 1.1
"""From each bucket to the next."""

NO_TOKEN = -1
"""The bucket of the turns that had no first token."""

MAX_GROUPS = 10_000

TABLE = TurnStatistics._meta.db_table
KEY = ("user_id", "day", "provider", "model", "bucket")
SUMS = ("turns", "failures", "cancelled", "prompt_tokens", "completion_tokens", "cost_usd")

# Of a user who is gone there is nothing to insert: a foreign key that fails would undo the whole transaction.
UPSERT = f"""
    INSERT INTO {TABLE} ({", ".join(KEY + SUMS)})
    SELECT {", ".join(["%s"] * len(KEY + SUMS))} WHERE EXISTS (SELECT 1 FROM {User._meta.db_table} WHERE id = %s)
    ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {", ".join(f"{sum} = {TABLE}.{sum} + excluded.{sum}" for sum in SUMS)}
"""  # noqa: S608 -- names of our own


def count(
    *,
    user_id: int,
    provider: str,
    model: str,
    status: str,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    cost_usd: Decimal | None,
    ttft_ms: int | None,
) -> None:
    """Adds a turn that has ended, to today, with one statement. A database unit, for the transaction of that end: the
    last statement of it, since turns that end at once wait for each other here.

    `status` is the answer's, one of models.Status; US dollars; milliseconds. None is what is not known.
    """
    key = (user_id, datetime.now(UTC).date(), provider[:32], model[:200], bucket_of(ttft_ms))
    outcome = (1, int(status in (Status.FAILED, Status.INTERRUPTED)), int(status == Status.CANCELLED))
    spent = (prompt_tokens or 0, completion_tokens or 0, cost_usd or Decimal(0))
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, [*key, *outcome, *spent, user_id])


def bucket_of(ttft_ms: int | None) -> int:
    """The bucket of a time to first token in milliseconds, None for none."""
    return NO_TOKEN if ttft_ms is None else round(math.log(max(ttft_ms, 1), WIDTH))


def milliseconds_of(bucket: int) -> int:
    """The middle of a bucket."""
    return round(WIDTH**bucket)


@dataclass(slots=True)
class Group:
    """The turns of a day, a provider, a model, or of several of these: what is None is not told apart."""

    day: date | None = None
    provider: str | None = None
    model: str | None = None
    sums: Counter[str] = field(default_factory=Counter)
    """Of SUMS."""
    buckets: Counter[int] = field(default_factory=Counter)
    """The turns of each bucket."""

    def add(self, row: dict[str, Any]) -> None:
        for name in SUMS:
            self.sums[name] += row[f"{name}_sum"]
        if row["bucket"] != NO_TOKEN:
            self.buckets[row["bucket"]] += row["turns_sum"]

    def percentile(self, share: float) -> int | None:
        """Of the times to first token, in milliseconds; None when no turn has one."""
        left = share * self.buckets.total()
        for bucket, turns in sorted(self.buckets.items()):
            left -= turns
            if left <= 0:
                return milliseconds_of(bucket)
        return None


def groups(user: User, first: date, last: date, by: Sequence[str]) -> tuple[Group, list[Group]]:
    """The user's turns of these days, both inclusive: all together, and by any of day, provider and model, in order.

    A database unit. Raises Problem `invalid_request` when there are more than MAX_GROUPS.
    """
    rows = TurnStatistics.objects.filter(user=user, day__range=(first, last)).values(*by, "bucket")
    sums = {f"{name}_sum": Sum(name) for name in SUMS}
    rows = rows.annotate(**sums).order_by(*by, "bucket")
    total, found = Group(), list[Group]()
    for values, of_group in groupby(rows, key=lambda row: {name: row[name] for name in by}):
        if len(found) == MAX_GROUPS:
            raise too_many()
        group = Group(**values)
        add_all(of_group, group, total)
        found.append(group)
    return total, found if by else []


def add_all(rows: Iterable[dict[str, Any]], *groups: Group) -> None:
    for row in rows:
        for group in groups:
            group.add(row)


def too_many() -> Problem:
    message = f"gives more than {MAX_GROUPS:,} groups; group by less, or ask for fewer days"
    return Problem("invalid_request", f"group_by: {message}.", errors=[{"field": "group_by", "message": message}])
