"""The clusters: one without Redis, one with. Their PostgreSQL is their own, since a test stops it."""

from collections.abc import Iterator

import pytest

from tests.fakes import nginx, redis
from tests.fakes.database import Databases
from tests.fakes.postgres import Postgres, fragile_postgres
from tests.fakes.provider import Provider
from tests.fakes.redis import Redis, redis_server
from tests.nodes.cluster import Cluster, cluster_on


@pytest.fixture(scope="package")
def fragile() -> Iterator[Postgres]:
    if nginx.installed() is None:
        pytest.skip("nginx is not installed")
    with fragile_postgres() as own:
        yield own


@pytest.fixture(scope="package")
def pg_databases(fragile: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    return Databases(tmp_path_factory.mktemp("unused"), fragile.url)


@pytest.fixture(scope="package")
def cluster(
    pg_databases: Databases, _provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Without Redis."""
    with cluster_on(pg_databases, _provider, tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="package")
def cache() -> Iterator[Redis]:
    if reason := redis.missing():
        pytest.skip(reason)
    with redis_server() as server:
        yield server


@pytest.fixture(scope="package")
def redis_cluster(
    cache: Redis, pg_databases: Databases, _provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("redis_cluster")
    with cluster_on(pg_databases, _provider, folder, CACHE_URL=cache.url) as made:
        yield made


@pytest.fixture(params=["database", "redis"])
def either(request: pytest.FixtureRequest, provider: Provider) -> Cluster:
    """Each of the two clusters."""
    made: Cluster = request.getfixturevalue("cluster" if request.param == "database" else "redis_cluster")
    return made
