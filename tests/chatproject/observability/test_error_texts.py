"""What is left of exceptions' texts in the log and in events."""

import logging
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError

from chatproject.observability import privacy
from chatproject.observability.redaction import redact, runs
from tests.fakes.database import ROOT
from tests.fakes.ingest import Ingest


def basic(secret: str) -> str:
    return b64encode(f"me:{secret}".encode()).decode()


@pytest.fixture(autouse=True)
def request_with_tom() -> Iterator[None]:
    """A request whose body says Tom."""
    supplied = privacy.begin({"query_string": b"q=Jerry", "headers": [(b"cookie", b"c=Spike"), (b"accept", b"text")]})
    supplied.body.append(b'{"content": "this is Tom", "n": [{"Butch": true, "age": 42}]}')
    yield
    privacy._supplied.set(None)


def logged(error: BaseException, logger: str = "conversations", message: str = "failed") -> str:
    record = logging.LogRecord(logger, logging.ERROR, "f.py", 1, message, (), (type(error), error, error.__traceback__))
    assert privacy.RedactTracebacks().filter(record)
    return logging.Formatter("%(message)s").format(record)


@pytest.mark.parametrize("word", ["Tom", "TOM", "Jerry", "Spike", "Butch", "42"])
def test_nothing_that_came_with_the_request_is_told(word: str) -> None:
    assert privacy.text_of(ValueError(f"unknown cat: {word}")) == "unknown cat: …"


def test_what_everybody_sends_and_the_fields_names_are_no_secrets() -> None:
    assert privacy.text_of(AttributeError("no attribute 'content'; text")) == "no attribute 'content'; text"


def test_the_configurations_secrets_are_never_told() -> None:
    privacy._supplied.set(None)
    told = privacy.text_of(ValueError(f"bad key {settings.SECRET_KEY}"))
    assert told.startswith("bad key ")
    # Punctuation stays, and with it a single character between two dashes.
    assert not re.search(r"[A-Za-z0-9]{2}", told.removeprefix("bad key "))


def test_a_short_word_stays_though_a_key_has_its_letters_by_chance() -> None:
    told = "bad key: null value in column, is no id"
    assert redact(told, (), ["x7inQz9noK2isLid8bAdkeY5"]) == told


@pytest.mark.parametrize("echo", ["key abc-de_fg.hij", "key 'DE_FG'", "abc-", "the password is cat"])
def test_short_pieces_of_a_key_with_punctuation_are_cut(echo: str) -> None:
    told = redact(echo, (), ["abc-de_fg.hij", "cat"])
    assert not re.search("abc|de|fg|hij|cat", told, re.I)


def test_what_is_noted_later_counts_and_is_not_looked_at_before() -> None:
    looked: list[int] = []

    def texts() -> list[str]:
        looked.append(1)
        return ["Nibbles"]

    privacy.note(texts)
    assert looked == []
    assert privacy.text_of(ValueError("mouse: Nibbles")) == "mouse: …"


def test_a_databases_details_of_a_row_are_cut_off() -> None:
    error = IntegrityError('null value in column "x"\nDETAIL:  Failing row contains (1, hunter2).')
    assert privacy.text_of(error) == 'null value in column "x"'


def test_a_traceback_keeps_its_frames_and_what_led_to_it() -> None:
    try:
        try:
            raise KeyError("Tom")
        except KeyError as cause:
            raise ValueError("no Tom here") from cause
    except ValueError as error:
        text = logged(error)
    assert "Tom" not in text.replace('raise KeyError("Tom")', "").replace('raise ValueError("no Tom here")', "")
    assert "KeyError: '…'\n\nled to:" in text
    assert text.endswith("ValueError: no … here")
    assert text.count("test_error_texts.py") == 2


def test_the_message_does_not_repeat_the_text_either() -> None:
    assert logged(ValueError("it was Tom"), message="broken: it was Tom").startswith("broken: it was …\n")


def test_of_a_task_that_nobody_awaited_no_text_is_told() -> None:
    privacy._supplied.set(None)
    text = logged(ValueError("Nibbles"), "asyncio", "never retrieved: ValueError('Nibbles')")
    assert "Nibbles" not in text
    assert "ValueError: …" in text


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_an_exception_without_a_text_can_be_logged() -> None:
    assert "Unspeakable" in logged(Unspeakable())


def test_the_log_outlives_a_bug_of_its_filters() -> None:
    privacy.note(lambda: [str(1 / 0)])
    assert logged(ValueError("it was Tom")).endswith("ValueError: …")


@pytest.mark.parametrize(
    ("body", "strings"),
    [
        (b'{"a": "b", "c": {"d": ["e", 1, null, true]}}', {"b", "d", "e", "1"}),
        (b"a=b&c=d", {"a=b&c=d"}),
        (b'["a"]', {"a"}),
        (b'"a"', {"a"}),
        (b"\xff{", {"\ufffd{"}),
        (b"", {""}),
        (b"[" * 100_000, {"[" * 100_000}),
    ],
)
def test_every_string_of_a_body_counts(body: bytes, strings: set[str]) -> None:
    assert set(privacy.strings_of_body(body)) == strings


def run(ingest: Ingest, code: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """The event of a process that fails with `code`."""
    env = {**os.environ, "SENTRY_DSN": ingest.dsn, **environment}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=env, capture_output=True, timeout=60)
    assert done.returncode == 1
    [event] = ingest.items("event")
    return event


def test_settings_that_are_refused_are_an_event_with_the_reason(ingest: Ingest) -> None:
    event = run(ingest, "from django.conf import settings; settings.DEBUG", SECRET_KEY="")
    assert event["exception"]["values"][-1]["value"].startswith("SECRET_KEY is empty.")


def test_the_arguments_of_a_command_do_not_leave(ingest: Ingest) -> None:
    event = run(ingest, "from django.conf import settings; settings.DEBUG; 1 / 0", "--password=hunter2")
    assert event["exception"]["values"][-1]["value"] == "division by zero"
    assert b"hunter2" not in b"".join(ingest.raw)


def test_asyncio_does_not_repeat_an_exceptions_text_in_any_form() -> None:
    error = ValueError('the prompt was:\nit\'s a "secret-canary"')
    message = f"Task exception was never retrieved\nfuture: <Task finished exception={error!r}>"
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), (ValueError, error, None))
    privacy.RedactTracebacks().filter(record)
    assert "canary" not in logging.Formatter("%(message)s").format(record)


@pytest.mark.parametrize("encode", [lambda s: s.encode().hex(), basic, lambda s: b64encode(s.encode()).decode()])
def test_the_secrets_are_not_told_in_an_encoding_either(encode: Callable[[str], str]) -> None:
    privacy._supplied.set(None)
    encoded = encode(settings.SECRET_KEY)
    told = privacy.text_of(ValueError(f"key {encoded}"))
    assert not any(run in told for run in runs(encoded[4:-4], 6))


@pytest.mark.parametrize("name", ["gpt-4o-2024-08-06", "meta-llama/llama-3.1:free", "stop", "req_0123", ""])
def test_a_name_of_a_providers_is_told(name: str) -> None:
    assert privacy.name(name) == name


@pytest.mark.parametrize("name", ["Tom and Jerry", "x" * 129, "a\nb", "größe"])
def test_what_is_no_name_is_not_told(name: str) -> None:
    assert privacy.name(name) == privacy.CUT


def test_a_name_that_holds_a_part_of_a_secret_is_not_told() -> None:
    key = settings.SECRET_KEY
    assert privacy.name(f"x-{key[3:15]}") == privacy.name(key) == privacy.name(key.upper()) == privacy.CUT
