"""What the caller's turns were and cost."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from ninja import Field, Query, Router, Schema
from pydantic import BeforeValidator

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from chatproject.problems import Problem
from conversations import statistics
from conversations.statistics import Group
from conversations.text import no_number

router = Router()

DAYS = 30
MAX_DAYS = 366
Day = Annotated[date, BeforeValidator(no_number)]
GROUPS = "^(|(day|provider|model)(,(day|provider|model)){0,2})$"


class TurnsOut(Schema):
    turns: int
    failures: int = Field(description="Turns that failed, or that a restart of the server interrupted.")
    cancelled: int
    failure_rate: float = Field(description="Failures of the turns, from 0 to 1; 0 when there are none.")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float = Field(description="US dollars, of the turns whose price is known.")
    ttft_ms_p50: int | None = Field(
        description="Median of the times to first token, in milliseconds, at most 5 % off; null when no turn has one."
    )
    ttft_ms_p95: int | None

    @staticmethod
    def of(group: Group) -> dict[str, Any]:
        sums = group.sums
        return {
            "turns": sums["turns"],
            "failures": sums["failures"],
            "cancelled": sums["cancelled"],
            "failure_rate": round(sums["failures"] / sums["turns"], 6) if sums["turns"] else 0.0,
            "prompt_tokens": sums["prompt_tokens"],
            "completion_tokens": sums["completion_tokens"],
            "total_tokens": sums["prompt_tokens"] + sums["completion_tokens"],
            "cost_usd": round(float(sums["cost_usd"]), 8),
            "ttft_ms_p50": group.percentile(0.5),
            "ttft_ms_p95": group.percentile(0.95),
        }


class GroupOut(TurnsOut):
    day: date | None = Field(description="In UTC; null when `group_by` has no `day`. So are the next two.")
    provider: str | None
    model: str | None = Field(description="As the messages have it: the name that the provider answers with.")


class StatsOut(Schema):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    total: TurnsOut
    items: list[GroupOut] = Field(description="In the order of what they are grouped by; only those with turns.")


@router.get("/stats", response={200: StatsOut, **problems("invalid_request")}, by_alias=True, tags=["stats"])
async def get_stats(
    request: ApiRequest,
    first: Annotated[
        Day | None, Query(alias="from", description=f"The first day, in UTC; {DAYS} days with `to` unless given.")
    ] = None,
    last: Annotated[Day | None, Query(alias="to", description="The last day, in UTC, inclusive; today.")] = None,
    group_by: Annotated[
        str, Query(pattern=GROUPS, description="Any of day, provider and model, with commas; empty: the total alone.")
    ] = "day,provider,model",
) -> dict[str, Any]:
    """Your turns: how many, how they ended, their tokens, their cost, and how long the first token took.

    A turn is there as soon as it has ended, on the day of its end. It stays when its conversation is deleted. Turns
    that were lost with a killed server are not there.
    """
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
    if not 0 <= (last - first).days < MAX_DAYS:
        message = f"must be a day from 0 to {MAX_DAYS - 1} days before `to`"
        raise Problem("invalid_request", f"from: {message}.", errors=[{"field": "from", "message": message}])
    by = [name for name in dict.fromkeys(group_by.split(",")) if name]
    total, groups = await db.run(statistics.groups, request.user, first, last, by)
    return {
        "from": first,
        "to": last,
        "total": TurnsOut.of(total),
        "items": [{**TurnsOut.of(g), "day": g.day, "provider": g.provider, "model": g.model} for g in groups],
    }
