"""What goes into the SDK's batchers arrives, and takes little room while it waits there."""

from tests.chatproject.observability.test_sentry import python
from tests.fakes.ingest import Ingest

OURS_AND_THEIRS = """
import sentry_sdk, chatproject.settings
from chatproject.observability import telemetry

trace_id = "0" * 32
for value in (1, 2):
    telemetry.metric("distribution", "ours", value, "usd", trace_id=trace_id, attributes={"kind": "input"})
telemetry.log("warn", 13, "ours", 1e9, trace_id, {"status": 200})
first, second = sentry_sdk.get_client().metrics_batcher._buffer
print(first["attributes"] is second["attributes"])

sentry_sdk.metrics.count("theirs", 3, attributes={"kind": "input"})
sentry_sdk.logger.warning("theirs", attributes={"status": 200})
sentry_sdk.flush()
"""
COMMON = ("timestamp", "trace_id", "attributes")


def test_ours_and_those_of_a_library_travel_alike(ingest: Ingest) -> None:
    python(OURS_AND_THEIRS, SENTRY_DSN=ingest.dsn)
    metrics = [item for payload in ingest.items("trace_metric") for item in payload["items"]]
    logs = [item for payload in ingest.items("log") for item in payload["items"]]
    assert [(item["name"], item["type"], item["value"], item.get("unit")) for item in metrics] == [
        ("ours", "distribution", 1.0, "usd"),
        ("ours", "distribution", 2.0, "usd"),
        ("theirs", "counter", 3, None),
    ]
    assert [(item["body"], item["level"]) for item in logs] == [("ours", "warn"), ("theirs", "warn")]
    assert logs[0]["timestamp"] == 1e9
    for item in (*metrics, *logs):
        assert all(item[name] for name in COMMON)
        assert item["attributes"]["sentry.environment"] == {"value": "development", "type": "string"}
    assert [item["attributes"]["kind"] for item in metrics] == [{"value": "input", "type": "string"}] * 3
    names = ("status", "sentry.severity_number", "sentry.severity_text")
    told = [{name: item["attributes"][name]["value"] for name in names} for item in logs]
    assert told == [dict(zip(names, (200, 13, "warn"), strict=True))] * 2


def test_metrics_of_one_kind_share_their_attributes(ingest: Ingest) -> None:
    assert python(OURS_AND_THEIRS, SENTRY_DSN=ingest.dsn).split() == ["True"]
