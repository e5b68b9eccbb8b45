"""What the tests share. The environment is emptied before the settings read it: a developer's keys and DSN stay out.

TEST_DATABASE_URL=postgres://... runs the whole suite on PostgreSQL instead of SQLite.
"""

import atexit
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import django
import pytest

OWN = re.compile(
    r"(SENTRY|CHAT|DATABASE|CACHE|DJANGO|GUNICORN|CORS|HSTS|LOGIN|TRUSTED)_.*|.*_(API_KEY|BASE_URL|MODEL|HISTORY_TOKENS|IMAGES|TIMEOUT)"
    r"|DEBUG|LOG_FORMAT|PUBLIC_URL|ALLOWED_HOSTS|CSRF_TRUSTED_ORIGINS|PORT|HOST|WEB_CONCURRENCY|GRACEFUL_TIMEOUT"
)
for name in [name for name in os.environ if OWN.fullmatch(name)]:
    del os.environ[name]

FOLDER = Path(tempfile.mkdtemp(prefix="chat-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "")
os.environ["ENV_FILE"] = str(FOLDER / "no-such-file")
os.environ["SECRET_KEY"] = secrets.token_urlsafe(40)
os.environ["DATABASE_URL"] = TEST_DATABASE_URL or f"sqlite:///{FOLDER / 'db.sqlite3'}"
# Here and not in pyproject.toml: pytest-django would load the settings before it comes to this file.
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.test import Client as Browser  # noqa: E402

from tests.fakes import tls  # noqa: E402
from tests.fakes.client import Client  # noqa: E402
from tests.fakes.database import Databases  # noqa: E402
from tests.fakes.ingest import Ingest  # noqa: E402
from tests.fakes.provider import Provider  # noqa: E402
from tests.fakes.server import Server  # noqa: E402

StartServer = Callable[..., Server]


def pytest_configure(config: pytest.Config) -> None:
    """Keeps from pytest-xdist's workers what would have them load the settings before they come to this file."""
    if getattr(config.option, "numprocesses", None):
        del os.environ["DJANGO_SETTINGS_MODULE"]


SAME_EVERYWHERE = {
    "test_bad_input.py",
    "test_browser.py",
    "test_contract_bugsink.py",
    "test_contract_table.py",
    "test_embedded_model.py",
    "test_faults.py",
    "test_limits.py",
    "test_load.py",
    "test_logs.py",
    "test_never_hurts.py",
    "test_postgres.py",
    "test_provider_failures.py",
    "test_schemathesis.py",
    "test_sessions.py",
    "test_transport.py",
}
"""Files that take long, and are about what the server refuses and reports, or have a PostgreSQL of their own."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_AGAIN: in another run than the first, without the tests that cannot tell the difference."""
    if os.environ.get("TEST_AGAIN"):
        config.hook.pytest_deselected(items=[item for item in items if not can_differ(item)])
        items[:] = [item for item in items if can_differ(item)]


def can_differ(item: pytest.Item) -> bool:
    if item.path.name in SAME_EVERYWHERE:
        return False
    return not TEST_DATABASE_URL or has_database(item)


def has_database(item: pytest.Item) -> bool:
    """Of this process, or made for a server."""
    names = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or not {"django_db_setup", "databases"}.isdisjoint(names)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A file: the database units run in threads, which would each see an in-memory database of their own."""
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(FOLDER / "test.sqlite3")


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    made = Databases(FOLDER, TEST_DATABASE_URL)
    yield made
    made.drop()


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """The fake provider that `server` calls `fake`."""
    _provider.clear()
    return _provider


@pytest.fixture
def dying_provider() -> Iterator[Provider]:
    """A provider of the test's own, to be killed."""
    with Provider() as provider:
        yield provider


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    """A Sentry of the test's own."""
    with Ingest() as ingest:
        yield ingest


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    return tls.self_signed(tmp_path_factory.mktemp("tls") / "certificate.pem")


@pytest.fixture(scope="session")
def server_ingest() -> Iterator[Ingest]:
    """The Sentry that `server` reports to."""
    with Ingest() as ingest:
        yield ingest


@pytest.fixture(scope="session")
def server(databases: Databases, _provider: Provider, server_ingest: Ingest) -> Iterator[Server]:
    """The server that most tests share. A test that stops it, or counts all its rows, starts its own."""
    # Without the limit on events of one kind: many tests share this server's minutes.
    sentry = {"SENTRY_DSN": server_ingest.dsn, "SENTRY_EVENT_BURST": "0"}
    with Server(databases.new(), databases.keys, **fake(_provider), **sentry) as server:
        yield server


@pytest.fixture
def start_server(databases: Databases, provider: Provider) -> Iterator[StartServer]:
    """Starts a server of the test's own, with the environment given, and stops it after the test."""
    with ExitStack() as stack:

        def start(upstream: Provider = provider, **environment: str) -> Server:
            server = Server(databases.new(), databases.keys, **{**fake(upstream), **environment})
            return stack.enter_context(server)

        yield start


@pytest.fixture
def client(server: Server, provider: Provider) -> Client:
    """Alice, at the shared server."""
    return server.client("alice")


@pytest.fixture
def owner(db: None) -> User:
    """Who owns things, in this process's own database."""
    return User.objects.create(username="owner")


@pytest.fixture
def admin_client(db: None) -> Browser:
    """A superuser's, like pytest-django's, but without a password: hashing one takes longer than the tests."""
    browser = Browser()
    browser.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return browser


@pytest.fixture
def stranger(server: Server, provider: Provider) -> Client:
    """Bob, who owns nothing of Alice's."""
    return server.client("bob")


def fake(provider: Provider) -> dict[str, str]:
    """The environment that makes `provider` the server's default, under the name `fake`."""
    return {
        "CHAT_PROVIDERS": "fake,local",
        "CHAT_DEFAULT_PROVIDER": "fake",
        "FAKE_BASE_URL": provider.url,
        "FAKE_MODEL": "echo",
        "FAKE_API_KEY": "fake-secret",
        "CHAT_FIRST_TOKEN_TIMEOUT": "20",
        "CHAT_SILENCE_TIMEOUT": "20",
        "CHAT_RETRIES": "0",  # tests that are about retries or circuits have their own
        "CHAT_CIRCUIT_FAILURES": "0",
        "CHAT_KEY_CACHE_SECONDS": "0",  # what happens to a key is felt at once
        "LOCAL_BASE_URL": "http://127.0.0.1:1/v1",  # nobody there
    }
