"""How long a search takes, what the index costs, and what a turn pays for it.

    .venv/bin/python -m benchmarks.search [--messages N] [--database-url URL]

Fills a new SQLite file, or an empty PostgreSQL database, with N messages: a fifth of one user's, the others' of a
thousand users, a tenth in Chinese, words as frequent as in English (Zipf). Then indexes them, and searches as the user
with many messages and as one with few. A search is run 20 times; the median and the slowest are shown.
"""

import argparse
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

WORDS = 50_000
PER_CONVERSATION = 20
OWNERS = 1_000
ROUNDS = 20
CHUNK = 5_000
BLOCKS, BLOCK = 20, 30
"""Turns are measured in blocks, of each kind in turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--database-url", default="")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # it takes minutes
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.database_url or f"sqlite:///{Path(folder) / 'search.sqlite3'}"
        os.environ |= {"DATABASE_URL": url, "ENV_FILE": os.devnull, "SECRET_KEY": secrets.token_urlsafe(40)}
        os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
        import django

        django.setup()
        measure(arguments.messages)


def measure(messages: int) -> None:
    from django.core.management import call_command

    from conversations.search import indexing

    call_command("migrate", verbosity=0)
    chance = random.Random(1)
    _, seconds = timed(lambda: fill(messages, chance))
    print(f"{messages:,} messages stored in {seconds:.0f} s, {size_mb():,.0f} MB")
    longest = 0.0
    started = time.perf_counter()
    while (batch := timed(indexing.index_batch))[0]:
        longest = max(longest, batch[1])
    seconds = time.perf_counter() - started
    print(f"indexed in {seconds:.0f} s ({messages / seconds:,.0f} a second), {size_mb():,.0f} MB")
    print(f"the longest batch, for which other writers wait on SQLite: {longest * 1000:.0f} ms")
    analyze()
    searches()
    turns()


def vocabulary() -> list[str]:
    """The same in every run; none is another's beginning by more than chance."""
    chance = random.Random(2)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    words = dict.fromkeys("".join(chance.choices(letters, weights, k=chance.randint(2, 11))) for _ in range(WORDS * 2))
    return list(words)[:WORDS]


def texts(chance: random.Random) -> Iterator[str]:
    words = vocabulary()
    zipf = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    characters = [chr(0x4E00 + code) for code in range(3_000)]
    frequencies = list(accumulate(1 / rank for rank in range(1, len(characters) + 1)))
    while True:
        if chance.random() < 0.1:
            yield "".join(chance.choices(characters, cum_weights=frequencies, k=chance.randint(10, 200)))
        else:
            yield " ".join(chance.choices(words, cum_weights=zipf, k=chance.randint(5, 150)))


def fill(messages: int, chance: random.Random) -> None:
    from django.contrib.auth.models import User
    from django.db import transaction

    from conversations.models import Conversation, Message

    owners = User.objects.bulk_create(User(username=f"user{number}") for number in range(OWNERS + 1))
    text = texts(chance)
    for _ in range(0, messages, CHUNK):
        with transaction.atomic():
            conversations = [
                Conversation(
                    owner=owners[0] if chance.random() < 0.2 else chance.choice(owners[1:]),
                    provider="local",
                    model="small",
                    title=next(text)[:60],
                )
                for _ in range(CHUNK // PER_CONVERSATION)
            ]
            Conversation.objects.bulk_create(conversations)
            Message.objects.bulk_create(
                Message(conversation=conversation, role=role, content=next(text))
                for conversation in conversations
                for role in ("user", "assistant") * (PER_CONVERSATION // 2)
            )


def searches() -> None:
    from django.contrib.auth.models import User

    from conversations.search import finding

    many, few = User.objects.get(username="user0"), User.objects.get(username="user7")
    words = vocabulary()
    asked = {
        "the most frequent word": words[0],
        "a frequent word": words[20],
        "a rare word": words[20_000],
        "two frequent words": f"{words[3]} {words[9]}",
        "a frequent and a rare word": f"{words[1]} {words[5_000]}",
        "a phrase of frequent words": f'"{words[0]} {words[2]}"',
        "three letters that begin words": "xta",
        "two Chinese characters": "丁丂",
        "a frequent Chinese character": "一",
        "a word that nobody has": "notaword",
    }
    print(f"\n{'':40}{'many messages':>22}{'few messages':>22}   (median, slowest; hits on the first page)")
    for what, text in asked.items():
        row = ""
        for owner in (many, few):
            (found, _), middle, slowest = repeated(lambda owner=owner, text=text: finding.search(owner, text, limit=20))
            row += f"{middle:8.1f}{slowest:8.1f} ms{len(found):3}"
        print(f"{what:40}{row}")
    _, middle, slowest = repeated(lambda: finding.conversations(words[20]))
    print(f"{'the admin: a frequent word of anybody':40}{middle:8.1f}{slowest:8.1f} ms")


def turns() -> None:
    """A turn's two transactions with the triggers and the statistics, and without them; in turn, for the drift."""
    times: dict[str, list[float]] = {"with search and statistics": [], "without statistics": [], "without both": []}
    for _ in range(BLOCKS):
        for what, found in times.items():
            with as_if(statistics=what.startswith("with "), search=what != "without both"):
                found += [turn_ms() for _ in range(BLOCK)]
    print(f"\na turn's database work, start and end (median of {BLOCKS * BLOCK}):")
    for what, found in times.items():
        print(f"{what:40}{statistics.median(found):8.2f} ms")


@contextmanager
def as_if(*, statistics: bool, search: bool) -> Iterator[None]:
    """Without the parts that are False."""
    from django.db import connection

    from conversations import statistics as counted
    from conversations.search import tables

    count = counted.count
    if not statistics:
        counted.count = lambda **values: None
    if not search:
        with connection.cursor() as cursor:
            tables.drop_triggers(cursor)
    try:
        yield
    finally:
        counted.count = count
        if not search:
            tables.create_triggers()


def turn_ms() -> float:
    from django.conf import settings
    from django.contrib.auth.models import User
    from uuid_utils.compat import uuid7

    from conversations import store
    from conversations.models import Status
    from conversations.turns import FINAL_FIELDS

    owner = User.objects.get(username="user9")
    provider = next(iter(settings.CHAT_PROVIDERS.values()))
    start = store.Start(
        owner=owner,
        conversation_id=None,
        new={},
        user_message_id=uuid7(),
        message_id=uuid7(),
        content="what is the capital of France? " * 5,
        parts=None,
        content_field="content",
        tool_results=(),
        extra={},
        route=lambda conversation: (provider, "small"),
        system_prompt="",
        request_id="r",
        trace_id="t",
    )
    begin = time.perf_counter()
    message = store.start_turn(start).message
    message.content, message.status, message.latency_ms, message.ttft_ms = "Paris. " * 50, Status.COMPLETED, 1000, 300
    store.finish_turn(message, FINAL_FIELDS, [])
    return (time.perf_counter() - begin) * 1000


def analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")


def size_mb() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return float(cursor.fetchone()[0]) / 1e6


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Its result, and seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def repeated(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Its last result, and the median and the slowest of ROUNDS, in milliseconds."""
    runs = [timed(work) for _ in range(ROUNDS)]
    times = [seconds * 1000 for _, seconds in runs]
    return runs[-1][0], statistics.median(times), max(times)


if __name__ == "__main__":
    main()
