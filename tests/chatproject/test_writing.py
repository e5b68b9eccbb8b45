"""Writers on SQLite take turns, across threads and processes, and none waits for ever."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError

from chatproject.writing import Turnstile
from tests.conftest import StartServer
from tests.conversations.test_durability import locked
from tests.fakes.client import Client
from tests.fakes.database import is_sqlite
from tests.fakes.waiting import poll

HOLD = """
import sys
from django.conf import settings
settings.configure(DATABASE_TIMEOUT=0)
from chatproject.writing import Turnstile
with Turnstile(sys.argv[1]).turn():
    print("through", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """That is through the turnstile, until it is killed or its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "through\n"
        yield process
        process.kill()


def test_one_thread_at_a_time_is_let_through(tmp_path: Path) -> None:
    turnstile, inside, seen = Turnstile(str(tmp_path / "turn")), threading.Semaphore(1), []

    def write(number: int) -> None:
        with turnstile.turn():
            assert inside.acquire(blocking=False), "another is through"
            seen.append(number)
            inside.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert sorted(seen) == list(range(200))


def test_one_that_raises_lets_the_next_one_through(tmp_path: Path) -> None:
    turnstile = Turnstile(str(tmp_path / "turn"))
    with pytest.raises(LookupError), turnstile.turn():
        raise LookupError
    with turnstile.turn():
        pass


def test_a_process_waits_for_another_and_goes_on_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATABASE_TIMEOUT", 30)
    through = threading.Event()

    def write() -> None:
        with Turnstile(str(tmp_path / "turn")).turn():
            through.set()

    with another_process(tmp_path / "turn") as other:
        waiting = threading.Thread(target=write)
        waiting.start()
        assert not through.wait(0.2)
        other.kill()
        assert through.wait(10)
        waiting.join()


def test_nobody_waits_for_ever_for_a_process_that_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_TIMEOUT", 0.1)
    turnstile = Turnstile(str(tmp_path / "turn"))
    with another_process(tmp_path / "turn") as other:
        other.send_signal(signal.SIGSTOP)
        for _ in range(3):
            assert "DATABASE_TIMEOUT" in str(error_of(turnstile))
        other.kill()
        poll(lambda: error_of(turnstile) is None, 10, "turn")
    with another_process(tmp_path / "turn"):
        pass  # those that had given up keep nobody out


def test_its_file_is_for_whoever_may_have_the_database(tmp_path: Path) -> None:
    database = tmp_path / "db"
    database.touch()
    database.chmod(0o664)
    before = os.umask(0o077)
    try:
        with Turnstile(f"{database}-turn", like=str(database)).turn():
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(f"{database}-turn").stat().st_mode) == 0o664


def test_one_that_waits_too_long_behind_another_thread_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATABASE_TIMEOUT", 0.1)
    turnstile = Turnstile(str(tmp_path / "turn"))
    with turnstile.turn(), ThreadPoolExecutor(1) as pool:
        assert "DATABASE_TIMEOUT" in str(pool.submit(error_of, turnstile).result(10))


def test_a_folder_that_is_not_there_is_an_error_of_the_database(tmp_path: Path) -> None:
    turnstile = Turnstile(str(tmp_path / "nowhere" / "turn"))
    assert "No such file" in str(error_of(turnstile))
    (tmp_path / "nowhere").mkdir()
    with turnstile.turn():
        pass


def error_of(turnstile: Turnstile) -> OperationalError | None:
    """What its turn raises."""
    try:
        with turnstile.turn():
            return None
    except OperationalError as error:
        return error


def test_many_who_find_the_database_locked_are_all_told_so_in_time(start_server: StartServer) -> None:
    """Not one after the other, each after a time-out of its own."""
    server = start_server(DATABASE_TIMEOUT="1", DATABASE_THREADS="4", WEB_CONCURRENCY="2")
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite has one writer at a time")
    clients = [server.client() for _ in range(12)]

    def say(client: Client) -> tuple[int, str]:
        response = client.post("/api/chat", json={"message": "hello"})
        return response.status_code, response.json().get("code", "")

    with ThreadPoolExecutor(len(clients)) as pool:
        with locked(server):
            told = [pool.submit(say, client) for client in clients]
            poll(lambda: all(each.done() for each in told), 8, "answers")
            assert {each.result() for each in told} == {(503, "database_unavailable")}
        assert {status for status, _ in pool.map(say, clients)} == {200}
