import asyncio
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chatproject.observability import crons
from providers import routing
from providers.errors import ProviderError

EVERY_TEN_MINUTES = "*/10 * * * *"


class Command(BaseCommand):
    help = "Asks each configured provider for its models and prints a line for each; exit status 1 when one failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        crons.add_schedule(parser, EVERY_TEN_MINUTES)

    def handle(self, *, schedule: str, **options: Any) -> None:
        with crons.monitored("probe-providers", schedule=schedule, max_minutes=5):
            found = asyncio.run(probe_all())
            for name, (_, result) in found.items():
                self.stdout.write(f"{name}: {result}")
            failed = [name for name, (well, _) in found.items() if not well]
            if failed:
                raise CommandError(f"{len(failed)} of {len(found)} failed: {', '.join(failed)}.")


async def probe_all() -> dict[str, tuple[bool, str]]:
    """What `probe` says of each provider; all are asked at once."""
    names = list(settings.CHAT_PROVIDERS)
    try:
        return dict(zip(names, await asyncio.gather(*map(probe, names)), strict=True))
    finally:
        await routing.close()


async def probe(name: str) -> tuple[bool, str]:
    """Whether the provider answered, and how."""
    started = time.perf_counter()
    try:
        models = await routing.adapter(name).list_models()
    except ProviderError as error:
        return False, f"{error.code}: {error}"
    return True, f"ok, {len(models)} models, {round((time.perf_counter() - started) * 1000)} ms"
