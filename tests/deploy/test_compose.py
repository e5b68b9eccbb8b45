"""compose.yaml: valid, and in the right order."""

import pytest

from tests.deploy.files import DEPLOY, compose, dotenv
from tests.fakes.database import ROOT


def test_it_is_valid_by_the_specification() -> None:
    specification = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    found = specification.models.ComposeSpecification.model_validate(compose())
    assert list(found.services) == ["postgres", "migrate", "chat", "nginx"]


def test_nothing_starts_before_what_it_needs() -> None:
    services = compose()["services"]
    needs = {
        name: {on: how["condition"] for on, how in s.get("depends_on", {}).items()} for name, s in services.items()
    }
    assert needs == {
        "postgres": {},
        "migrate": {"postgres": "service_healthy"},
        "chat": {"migrate": "service_completed_successfully"},
        "nginx": {"chat": "service_healthy"},
    }


def test_nginx_alone_can_be_reached_from_outside() -> None:
    assert [name for name, service in compose()["services"].items() if "ports" in service] == ["nginx"]


def test_what_it_mounts_is_there() -> None:
    [mount] = compose()["services"]["nginx"]["volumes"]
    assert (DEPLOY / mount.split(":")[0]).is_file()
    assert "upstream chat {\n" in (DEPLOY / "nginx" / "chat.conf").read_text()
    assert "server chat:8000 " in (DEPLOY / "nginx" / "chat.conf").read_text(), "the service's name and port"


def test_the_example_has_no_secret_and_git_ignores_the_real_one() -> None:
    example = dotenv(DEPLOY / "compose.env.example")
    assert [example[name] for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "OPENAI_API_KEY", "SENTRY_DSN")] == [""] * 4
    assert "deploy/compose.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_health_checks_may_name_the_server_as_they_do() -> None:
    assert "127.0.0.1" in dotenv(DEPLOY / "compose.env.example")["ALLOWED_HOSTS"].split(",")
