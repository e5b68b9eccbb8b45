"""Nodes and the database come and go under load: nothing is lost, only what was in flight fails, it ends by itself."""

import time
from collections import Counter

from tests.fakes.postgres import Postgres
from tests.fakes.provider import Provider
from tests.nodes.audit import assert_nothing_lost, wait_for_ends
from tests.nodes.cluster import Cluster
from tests.nodes.load import Load

NOTICED = 0.5
"""Seconds in which nginx has read that the connections of a node that died are closed. What it has sent on one of them
until then is in flight too, and a POST that was sent is not sent again.
"""


def test_a_node_that_is_killed_costs_what_it_had_in_flight(cluster: Cluster, provider: Provider) -> None:
    with Load(cluster.url, cluster.key) as load:
        load.go_on()
        cluster.one.kill()
        killed = time.monotonic()
        load.go_on()
        cluster.one.start()
        load.go_on()
    wait_for_ends(cluster.db)
    assert [outcome for outcome in load.failures if outcome.began > killed + NOTICED] == []
    in_flight = [outcome for outcome in load.turns if outcome.began <= killed + NOTICED and killed < outcome.ended]
    assert load.failures
    assert [outcome for outcome in in_flight if not outcome.error], "the other node's went on"
    assert_nothing_lost(cluster.db, load.turns)


def test_a_rolling_restart_costs_nothing(cluster: Cluster, provider: Provider) -> None:
    with Load(cluster.url, cluster.key) as load:
        load.go_on()
        for node in cluster.nodes:
            assert node.terminate() == 0
            node.start()
        load.go_on()
    assert load.failures == []
    wait_for_ends(cluster.db, 1)
    assert_nothing_lost(cluster.db, load.turns)


def test_a_database_that_is_restarted_costs_the_requests_of_that_time(
    cluster: Cluster, fragile: Postgres, provider: Provider
) -> None:
    with Load(cluster.url, cluster.key) as load:
        load.go_on()
        down = time.monotonic()
        with fragile.stopped():
            load.wait_for_failures(20)
        cluster.wait_ready()
        back = time.monotonic()
        load.go_on()
    wait_for_ends(cluster.db)
    assert [outcome for outcome in load.failures if outcome.ended < down or outcome.began > back] == []
    told = Counter(outcome.error for outcome in load.failures)
    assert set(told) <= {"503 database_unavailable", "database_unavailable"}
    assert_nothing_lost(cluster.db, load.turns)
