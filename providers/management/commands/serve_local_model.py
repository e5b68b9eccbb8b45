import signal
import socket
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from providers import local_model


class Command(BaseCommand):
    help = "Serves the embedded model on loopback, at LOCAL_BASE_URL, until it is stopped."

    def handle(self, **options: Any) -> None:
        local = settings.CHAT_PROVIDERS.get("local")
        if local is None:
            raise CommandError("CHAT_PROVIDERS does not name `local`, so nothing would use the embedded model.")
        url = urlsplit(local.base_url)
        host, port = url.hostname or "", url.port or 80
        if host not in {"127.0.0.1", "localhost", "::1"}:
            raise CommandError("LOCAL_BASE_URL must be on loopback: the embedded model has no access control.")
        if url.path != "/v1":
            raise CommandError("LOCAL_BASE_URL must end in /v1.")
        check_port(host, port)
        try:
            server = local_model.start(host=host, port=port, model=local.model)
        except (FileNotFoundError, ImportError, RuntimeError) as error:
            raise CommandError(f"The embedded model cannot start: {error}") from error
        self.stdout.write(f"The embedded model {local.model} listens at {local.base_url}.")
        self.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        del server


def check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(f"Port {port} is taken; set another one in LOCAL_BASE_URL.") from error
