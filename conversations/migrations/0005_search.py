import math
from datetime import UTC, timedelta

from django.db import migrations
from django.db.models import Case, Count, F, FloatField, Q, SmallIntegerField, Sum, Value, When
from django.db.models.functions import Cast, Coalesce, Greatest, Ln, Round, TruncDate
from django.utils import timezone

from conversations.search import tables

DAYS = 90
"""Of the past, that the statistics start with."""


def count_turns(apps, editor):
    """What conversations/statistics.py would have counted. Not twice, when this migration is undone and done again."""
    Message = apps.get_model("conversations", "Message")
    TurnStatistics = apps.get_model("conversations", "TurnStatistics")
    if TurnStatistics.objects.exists():
        return
    since = timezone.now() - timedelta(days=DAYS)
    ended = Message.objects.filter(role="assistant", latency_ms__isnull=False, created_at__gte=since)
    number = Cast(Greatest(F("ttft_ms"), 1), FloatField())
    bucket = Cast(Round(Ln(number) / math.log(1.1)), SmallIntegerField())
    groups = ended.values(
        "provider",
        "model",
        user=F("conversation__owner"),
        day=TruncDate("created_at", tzinfo=UTC),
        bucket=Case(When(ttft_ms=None, then=Value(-1)), default=bucket, output_field=SmallIntegerField()),
    ).annotate(
        turns=Count("id"),
        failures=Count("id", filter=Q(status__in=["failed", "interrupted"])),
        cancelled=Count("id", filter=Q(status="cancelled")),
        prompt=Coalesce(Sum("prompt_tokens"), 0),
        completion=Coalesce(Sum("completion_tokens"), 0),
        cost=Sum("cost_usd"),
    )
    TurnStatistics.objects.bulk_create(
        (
            TurnStatistics(
                user_id=row.pop("user"),
                prompt_tokens=row.pop("prompt"),
                completion_tokens=row.pop("completion"),
                cost_usd=row.pop("cost") or 0,
                **row,
            )
            for row in groups.order_by().iterator()
        ),
        batch_size=500,
    )


def nothing(apps, editor):
    pass


class Migration(migrations.Migration):
    """The index of the search, with all there is in its queue; and the turns there are in the statistics."""

    dependencies = [("conversations", "0004_assistants_forks_and_streams")]

    operations = [
        migrations.RunPython(lambda apps, editor: tables.create(), lambda apps, editor: tables.drop()),
        migrations.RunPython(count_turns, nothing),
    ]
