"""What sentry_check says of data that Sentry takes, and of each kind that it does not."""

from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import Check, PickyIngest, fates
from tests.fakes.ingest import KEY, Answer, Ingest
from tests.fakes.ports import free_port
from tests.fakes.sentry_api import SentryApi


def test_it_reports_what_sentry_accepted(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn)
    [event] = ingest.items("event")
    assert (facts["exit"], facts["accepted"], facts["verdict"], facts["status"]) == (0, True, "accepted", 200)
    assert event["event_id"] == facts["event_id"]
    assert event["level"] == "info"
    assert (event["environment"], event["release"]) == ("staging", "1.2.3")


def test_it_links_the_event(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/find?q={event_id}"
    facts = check(ingest.dsn)
    assert facts["event_url"] == f"https://sentry.example.com/find?q={facts['event_id']}"


def test_it_shows_the_configuration_without_the_key(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_SEND_DEFAULT_PII = False
    configuration = check(ingest.dsn)["configuration"]
    assert configuration["dsn"] == ingest.dsn.replace(KEY, "***")
    assert configuration["environment"] == settings.SENTRY_ENVIRONMENT
    assert configuration["release"] == settings.SENTRY_RELEASE
    assert configuration["traces_sample_rate"] == settings.SENTRY_TRACES_SAMPLE_RATE
    assert configuration["send_default_pii"] is False
    assert configuration["include_prompts"] is False


def test_a_limit_on_other_data_is_told_of_an_accepted_event(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"X-Sentry-Rate-Limits": "2700:profile_chunk:organization:quota_exceeded"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["retry_after_s"]) == (0, True, None)
    assert [limit["categories"] for limit in facts["rate_limits"]] == [["profile_chunk"]]
    assert facts["not_taken"] == ["profile"]


def test_it_sends_every_kind_of_data(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn)
    assert fates(facts) == dict.fromkeys(
        ["error", "transaction", "gen_ai span", "profile", "log", "metric"], "accepted"
    )
    assert facts["not_taken"] == []
    for type in ("event", "transaction", "span", "profile_chunk", "log", "trace_metric"):
        assert len(ingest.items(type)) == 1, type


def test_the_span_is_in_the_transaction_where_the_server_would_send_it_so(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn, stream_gen_ai_spans=False)
    assert "gen_ai span" not in fates(facts)
    [transaction] = ingest.items("transaction")
    assert [span["op"] for span in transaction["spans"]] == ["gen_ai.chat"]


def test_it_tells_the_fate_of_each(check: Check, picky: PickyIngest) -> None:
    picky.answers = {
        "transaction": Answer(429, {"X-Sentry-Rate-Limits": "60:span:organization:quota"}),
        "profile_chunk": Answer(429, {"Retry-After": "120"}),
        "log": Answer(413, body=b'{"detail": "too large"}'),
        "trace_metric": Answer(200, {"X-Sentry-Rate-Limits": "30:trace_metric:project:none"}),
    }
    facts = check(picky.dsn)
    assert (facts["exit"], facts["accepted"]) == (0, True)
    assert fates(facts) == {
        "error": "accepted",
        "transaction": "accepted",
        "gen_ai span": "rate_limited",
        "profile": "rate_limited",
        "log": "rejected",
        "metric": "rate_limited",
    }
    by_item = {item["item"]: item for item in facts["items"]}
    assert [by_item[name]["retry_after_s"] for name in ("gen_ai span", "profile", "metric")] == [60, 120, 30]
    assert (by_item["log"]["status"], by_item["log"]["verdict"], by_item["log"]["detail"]) == (
        413,
        "too_large",
        "too large",
    )
    assert facts["not_taken"] == ["gen_ai span", "profile", "log", "metric"]


def test_a_limit_on_errors_beside_a_200_is_no_acceptance(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"X-Sentry-Rate-Limits": "60:error:organization:quota"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["fate"]) == (1, False, "rate_limited")


def test_it_knows_what_bugsink_ignores(check: Check, ingest: Ingest) -> None:
    ingest.answer(
        200,
        {
            "Access-Control-Expose-Headers": "X-Sentry-Rate-Limits",
            "X-Sentry-Rate-Limits": "86400:transaction;span:organization",
        },
    )
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["server"]) == (0, "bugsink")
    assert {name for name, fate in fates(facts).items() if fate == "ignored"} == set(fates(facts)) - {"error"}
    assert fates(facts)["error"] == "accepted"


def test_it_knows_what_glitchtip_ignores(check: Check, api: SentryApi) -> None:
    api.documents["/api/settings/"] = {"iPaidForGlitchTip": False}
    facts = check(api.dsn, stream_gen_ai_spans=False)
    assert facts["server"] == "glitchtip"
    assert fates(facts) == {
        "error": "accepted",
        "transaction": "accepted",
        "profile": "ignored",
        "log": "accepted",
        "metric": "ignored",
    }


def test_after_no_answer_it_does_not_try_the_rest(check: Check) -> None:
    facts = check(f"http://{KEY}@127.0.0.1:{free_port()}/1")
    assert fates(facts).pop("error") == "no_answer"
    assert {fate for name, fate in fates(facts).items() if name != "error"} == {"not_sent"}
