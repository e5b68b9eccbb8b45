"""What a turn leaves behind: rows and bytes in PostgreSQL, its log of changes, and what Sentry is sent.

    .venv/bin/python -m benchmarks.storage [--conversations N] [--turns N] [--question C] [--answer C] [--seconds S]

Conversations of N turns run through the server's own database units, in the order in which a worker runs them: the key
is looked up, the turn begins, its text so far is saved every 0.8 s for S seconds, it ends, the search's index follows.
Nothing waits, so seconds cost nothing here. PostgreSQL is the wheel's that the tests use, with its defaults; WAL is
what it logs, and what replicas and backups get. Sentry's part is a real server with streamed turns and a loopback
endpoint, at rate 1, without profiles.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.search import texts
from benchmarks.sentry_overhead import prepare
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.postgres import postgres
from tests.fakes.provider import Provider
from tests.fakes.server import Server

SENTRY_TURNS = 200

SIZES = """
SELECT relname, pg_relation_size(c.oid) AS rows, pg_indexes_size(c.oid) AS indexes, pg_total_relation_size(c.oid) AS all
FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
COUNTS = """
SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del), sum(n_tup_hot_upd) FROM pg_stat_user_tables
"""


class Costs:
    """Of each unit of database work: how often it ran, its statements and its seconds."""

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def run(self, unit: str, work: Callable[[], Any]) -> Any:
        from django.db import connection

        def counted(execute: Callable[..., Any], *arguments: Any) -> Any:
            self.statements[unit] += 1
            return execute(*arguments)

        started = time.perf_counter()
        with connection.execute_wrapper(counted):
            found = work()
        self.seconds[unit].append(time.perf_counter() - started)
        return found


def query(sql: str) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def state() -> tuple[dict[str, tuple[int, ...]], list[int], int]:
    """(sizes by table, counts of changed rows, bytes of WAL so far)."""
    from django.db import connection

    connection.close()  # its counts are complete then
    sizes = {name: numbers for name, *numbers in query(SIZES)}
    counts = [int(number) for number in query(COUNTS)[0]]
    return sizes, counts, int(query("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])


def long_text(source: Iterator[str], characters: int) -> str:
    """About so many characters, a tenth of them Chinese; any length between half and one and a half times as many."""
    text = ""
    while len(text) < characters:
        text += next(source) + "\n"
    return text[:characters]


class Talk:
    """Conversations of one user, through the units that the server runs."""

    def __init__(self, arguments: argparse.Namespace, key: str, costs: Costs) -> None:
        self.arguments, self.key, self.costs = arguments, key, costs
        self.chance = random.Random(1)
        self.source = texts(self.chance)

    def length(self, usual: int) -> int:
        return int(usual * self.chance.uniform(0.5, 1.5))

    def conversation(self) -> None:
        conversation_id = None
        for _ in range(self.arguments.turns):
            conversation_id = self.turn(conversation_id)

    def turn(self, conversation_id: Any) -> Any:
        from chatproject.apikeys.auth import authenticate
        from conversations import leases, store
        from conversations.live import SAVE
        from conversations.turns import FINAL_FIELDS

        owner = self.costs.run("look up the key", lambda: authenticate(self.key)).user
        start = beginning(owner, conversation_id, long_text(self.source, self.length(self.arguments.question)))
        message = self.costs.run("begin", lambda: store.start_turn(start)).message
        answer = long_text(self.source, self.length(self.arguments.answer))
        saves = int(self.arguments.seconds / SAVE)
        for number in range(1, saves + 1):
            texts_so_far = {message.pk: answer[: len(answer) * number // (saves + 1)]}
            self.costs.run("save", lambda so_far=texts_so_far: leases.keep_alive([message.pk], so_far))
        attempt = end(message, answer)
        self.costs.run("end", lambda: store.finish_turn(message, FINAL_FIELDS, [attempt]))
        return message.conversation_id


def beginning(owner: Any, conversation_id: Any, question: str) -> Any:
    from django.conf import settings
    from uuid_utils.compat import uuid7

    from conversations import store

    provider = settings.CHAT_PROVIDERS["fake"]
    return store.Start(
        owner=owner,
        conversation_id=conversation_id,
        new={},
        user_message_id=uuid7(),
        message_id=uuid7(),
        content=question,
        parts=None,
        content_field="content",
        tool_results=(),
        extra={},
        route=lambda conversation: (provider, provider.model),
        system_prompt="",
        request_id="0198c9b2f0c77d5c8a4be3a2f0d1c2b3",
        trace_id="0198c9b2f0c77d5c8a4be3a2f0d1c2b3",
    )


def end(message: Any, answer: str) -> Any:
    """Fills in a completed answer, and returns its attempt."""
    from decimal import Decimal

    from django.utils import timezone

    from conversations.models import MessageAttempt, Outcome, Status

    message.content, message.status, message.finish_reason = answer, Status.COMPLETED, "stop"
    message.prompt_tokens, message.completion_tokens = 500, len(answer) // 4
    message.total_tokens, message.cost_usd = 500 + len(answer) // 4, Decimal("0.00123456")
    message.ttft_ms, message.latency_ms = 300, 6_000
    return MessageAttempt(
        message=message,
        number=1,
        provider=message.provider,
        model=message.model,
        outcome=Outcome.COMPLETED,
        started_at=timezone.now(),
        ttft_ms=300,
        latency_ms=6_000,
    )


def in_database(arguments: argparse.Namespace, key: str) -> None:
    from conversations.search import indexing

    costs = Costs()
    talk = Talk(arguments, key, costs)
    talk.conversation()  # tables and caches that are there once
    costs.statements.clear(), costs.seconds.clear()
    query_vacuum()
    before = state()
    for _ in range(arguments.conversations):
        talk.conversation()
        costs.run("index", lambda: indexing.index_for(60))
    turned = state()
    query_vacuum()
    report(arguments, costs, before, turned, state()[0])
    delete()


def delete() -> None:
    """All of it, as the nightly commands do."""
    from conversations import retention
    from conversations.models import Conversation

    started = time.perf_counter()
    count = retention.delete_all(Conversation.objects.all())
    print(f"\ndeleting a conversation: {(time.perf_counter() - started) * 1e3 / count:.2f} ms")


def query_vacuum() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def report(arguments: argparse.Namespace, costs: Costs, before: Any, after: Any, sizes: Any) -> None:
    conversations, turns = arguments.conversations, arguments.conversations * arguments.turns
    print(f"{conversations:,} conversations of {arguments.turns} turns; bytes of each conversation:")
    print(f"{'':36}{'rows':>10}{'indexes':>10}{'all':>10}")
    total = [0, 0, 0]
    for name, numbers in sorted(sizes.items(), key=lambda item: -item[1][2]):
        grown = [now - then for now, then in zip(numbers, before[0][name], strict=True)]
        total = [sum(pair) for pair in zip(total, grown, strict=True)]
        if grown[2] > conversations * 10:
            print(f"{name:36}" + "".join(f"{number / conversations:>10,.0f}" for number in grown))
    print(f"{'all':36}" + "".join(f"{number / conversations:>10,.0f}" for number in total))
    inserted, updated, deleted, hot = (now - then for now, then in zip(after[1], before[1], strict=True))
    print(f"\neach turn: {inserted / turns:.1f} rows inserted, {updated / turns:.1f} updated ({hot / updated:.0%} in")
    print(f"their page), {deleted / turns:.1f} deleted; {(after[2] - before[2]) / turns / 1e3:,.1f} kB of WAL")
    print(f"\n{'':20}{'a turn':>8}{'statements':>12}{'ms (median)':>13}")
    for unit, seconds in costs.seconds.items():
        statements = costs.statements[unit] / len(seconds)
        print(f"{unit:20}{len(seconds) / turns:>8.2f}{statements:>12.1f}{statistics.median(seconds) * 1e3:>13.2f}")


def to_sentry(arguments: argparse.Namespace, databases: Databases) -> None:
    """Streamed turns of a real server; what came in, by kind."""
    with Provider() as provider, Ingest() as ingest:
        environment = {"CHAT_PROVIDERS": "fake", "CHAT_DEFAULT_PROVIDER": "fake", "FAKE_BASE_URL": provider.url}
        environment |= {"FAKE_MODEL": f"tokens-{arguments.answer // 4}", "SENTRY_DSN": ingest.dsn}
        environment |= {"SENTRY_PROFILES_SAMPLE_RATE": "0", "SENTRY_RELEASE": "a" * 40}
        with Server(databases.new(), databases.keys, **environment) as server:
            client = server.client()
            for _ in range(SENTRY_TURNS):
                body = {"message": "What is the capital of France?", "stream": True}
                client.post("/api/chat", json=body).raise_for_status()
            client.close()
            server.terminate()
            counts, sizes = tally(ingest)
    print(f"\nto Sentry, of each turn ({SENTRY_TURNS} streamed turns, rate 1, no profiles):")
    for kind, size in sizes.most_common():
        print(f"{kind:20}{counts[kind] / SENTRY_TURNS:>8.2f}{size / SENTRY_TURNS:>12,.0f} bytes")
    print(f"{'spans':20}{counts['spans'] / SENTRY_TURNS:>8.2f}        (the transactions among them)")


def tally(ingest: Ingest) -> tuple[Counter[str], Counter[str]]:
    """(items, bytes) by kind; logs and metrics one by one, as they are billed, and `spans` with the transactions."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for kind in ("transaction", "log", "trace_metric", "sessions", "event", "client_report"):
        for item in ingest.items(kind):
            counts[kind] += len(item["items"]) if kind in {"log", "trace_metric"} else 1
            sizes[kind] += len(json.dumps(item, separators=(",", ":")))
            if kind == "transaction":
                counts["spans"] += 1 + len(item["spans"])
    return counts, sizes


@contextmanager
def postgres_with_django() -> Iterator[str]:
    """An empty, migrated database for this process; its user's key."""
    import django
    from django.core.management import call_command

    with postgres() as url:
        os.environ |= {"DATABASE_URL": url, "CHAT_PROVIDERS": "fake", "CHAT_DEFAULT_PROVIDER": "fake"}
        os.environ |= {"FAKE_BASE_URL": "http://127.0.0.1:1/v1", "FAKE_MODEL": "small"}
        django.setup()
        from django.contrib.auth.models import User
        from django.db import connection

        from chatproject.apikeys.models import ApiKey

        call_command("migrate", verbosity=0)
        yield ApiKey.objects.issue(user=User.objects.create_user("benchmark"), name="benchmark")[1]
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=4, help="of each conversation (%(default)s)")
    parser.add_argument("--question", type=int, default=300, help="characters, on average (%(default)s)")
    parser.add_argument("--answer", type=int, default=1_200, help="characters, on average (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6, help="that an answer streams (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        to_sentry(arguments, Databases(folder))
        with postgres_with_django() as key:
            in_database(arguments, key)


if __name__ == "__main__":
    main()
