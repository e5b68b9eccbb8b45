import signal
import threading
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chatproject.start.preflight import CannotStart, check_port
from providers import local_model


class Command(BaseCommand):
    help = "Serves the embedded model on loopback, at LOCAL_BASE_URL, until it is stopped."

    def handle(self, **options: Any) -> None:
        # Before the model loads: a handler runs when loading returns, the default would leave a traceback.
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        local = settings.CHAT_PROVIDERS.get("local")
        if local is None:
            raise CommandError("CHAT_PROVIDERS does not name `local`, so nothing would use the embedded model.")
        url = urlsplit(local.base_url)
        host, port = url.hostname or "", url.port or 80
        if host not in {"127.0.0.1", "localhost", "::1"}:
            raise CommandError("LOCAL_BASE_URL must be on loopback: the embedded model has no access control.")
        if url.path != "/v1":
            raise CommandError("LOCAL_BASE_URL must end in /v1.")
        try:
            check_port(host, port, "set another one in LOCAL_BASE_URL")
            server = local_model.start(host=host, port=port, model=local.model)
        except (CannotStart, FileNotFoundError, ImportError, RuntimeError) as error:
            raise CommandError(f"The embedded model cannot start: {error}") from error
        self.stdout.write(f"The embedded model {local.model} listens at {local.base_url}.")
        self.stdout.flush()
        stop.wait()
        del server
