import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from chatproject.apikeys import demo
from chatproject.start import preflight
from chatproject.start.supervisor import Service, Supervisor


class Command(BaseCommand):
    help = (
        "Migrates the database, then runs the server and the embedded model until Ctrl-C. In a database without users "
        "it makes a demo API key and an admin, and prints both. Environment: PORT, HOST, WEB_CONCURRENCY."
    )

    # Made below: from Django 6.1 on some of them ask the database, which may not be there.
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        try:
            preflight.check_ports()
            self.prepare()
        except preflight.CannotStart as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:  # from here on the supervisor takes the signals
            sys.exit(130)
        self.say("Starting ...")
        host, port = preflight.server_address()
        base = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound
        status = Supervisor(server(base), self.model(), self.say).run(lambda: self.welcome(base))
        if status == 0:
            self.say("Stopped.")
        sys.exit(status)

    def prepare(self) -> None:
        """The database. Raises CommandError for what is wrong with it or with the configuration."""
        self.say("Preparing the database ...")
        try:
            self.check(display_num_errors=True)
            call_command("migrate", verbosity=0)
        except DatabaseError as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(f"The database of DATABASE_URL cannot be used: {reason}") from error

    def model(self) -> Service | None:
        """The embedded model's process; None when no provider needs it or one already answers in its place."""
        local = settings.CHAT_PROVIDERS.get("local")
        if local is None:
            return None
        if preflight.model_answers(local.base_url):
            self.say(f"A model already answers at {local.base_url}; using that one.")
            return None
        return Service("embedded model", [sys.executable, "manage.py", "serve_local_model"], f"{local.base_url}/models")

    def welcome(self, base: str) -> None:
        made = demo.create()
        connections.close_all()
        self.say(READY.format(base=base))
        if made:
            self.say(CREDENTIALS.format(base=base, **made._asdict()))
        else:
            python = os.path.relpath(sys.executable, preflight.ROOT)
            self.say(f"  Another key  {python} manage.py create_api_key NAME\n")

    def say(self, text: str) -> None:
        self.stdout.write(text, ending="\n")
        self.stdout.flush()


def server(base: str) -> Service:
    # Its warnings and errors are worth a line here; its own start-up messages are not.
    return Service("server", [sys.executable, "-m", "gunicorn", "--log-level", "warning"], f"{base}/health")


READY = """
Ready: {base}    Ctrl-C stops it.
  API pages    {base}/api/docs
  Admin        {base}/admin/"""

CREDENTIALS = """\
  Log in as    {username}, password {password}
  API key      {key}
Both are shown only this once.

Ask the model:
  curl {base}/api/chat -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{{"message": "What is the capital of France?"}}'

The same, streamed as it is written:
  curl -N {base}/api/chat -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{{"message": "What is the capital of France?", "stream": true}}'
"""
