import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from chatproject.apikeys import ledger
from chatproject.apikeys.models import LIMITS, ApiKey

COLUMNS = ("prefix", "name", "user", "state", "scopes", "expires", "last_used", "today_usd", "month_usd")


class Command(BaseCommand):
    help = "Lists the API keys, with what they have spent where that is counted, newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="USERNAME", help="only of this user")
        parser.add_argument("--json", action="store_true", help="one object a line, with the limits")

    def handle(self, *, user: str | None, json: bool, **options: Any) -> None:
        keys = ApiKey.objects.select_related("user", "replaced_by")
        if user is not None:
            keys = keys.filter(user__username=user)
        rows = [row_of(key) for key in keys]
        self.stdout.write("\n".join(map(as_json, rows)) if json else as_table(rows))


def row_of(key: ApiKey) -> dict[str, Any]:
    spend = ledger.spend_of(key, timezone.now()) if key.metered else None
    return {
        "prefix": key.prefix,
        "name": key.name,
        "user": key.user.get_username(),
        "state": key.state,
        "scopes": ",".join(key.scopes),
        "expires": minute(key.expires_at),
        "last_used": minute(key.last_used_at),
        "today_usd": f"{spend.day:.4f}" if spend else "",
        "month_usd": f"{spend.month:.4f}" if spend else "",
        "limits": {name: str(limit) for name in LIMITS if (limit := key.limit(name))},
    }


def minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def as_json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def as_table(rows: list[dict[str, Any]]) -> str:
    lines = [COLUMNS, *([row[name] for name in COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
