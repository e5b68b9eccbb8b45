"""The manifests: valid by Kubernetes' own schemas, and of one mind with the server."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tests.conftest import StartServer
from tests.deploy.files import DEPLOY, KUBERNETES, documents, instructions, manifest, manifests

NOT_IN_THE_SCHEMAS = {"Kustomization", "PodMonitor"}
COMMANDS = {
    "chat-probe": "providers.management.commands.probe_providers",
    "chat-retention": "conversations.management.commands.apply_retention",
    "chat-purge": "conversations.management.commands.purge_conversations",
}


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_it_is_valid_by_kubernetes_own_schemas(path: Path) -> None:
    checker = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for document in documents(path):
        if document["kind"] not in NOT_IN_THE_SCHEMAS:
            checker.validate(document, "1.33", strict=True)


@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes/migrate"])
def test_kustomize_builds_it(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    done = subprocess.run(["kubectl", "kustomize", DEPLOY / folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert {each["metadata"]["namespace"] for each in built} == {"chat"}
    assert "image: chat\n" not in done.stdout


def test_every_file_is_part_of_a_kustomization() -> None:
    for kustomization in (path for path in KUBERNETES if path.name == "kustomization.yaml"):
        beside = {path.name for path in kustomization.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert set(documents(kustomization)[0]["resources"]) == beside


def test_every_pod_is_that_of_the_images_user_and_may_do_nothing_more() -> None:
    [user] = [rest for name, rest in instructions() if name == "USER"]
    jobs = [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in manifests("CronJob")]
    jobs += [manifest(kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]
    assert len(jobs) == 5
    for pod in jobs:
        context = pod["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["runAsNonRoot"] is True
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_probes_and_the_autoscaler_ask_for_what_the_server_has(start_server: StartServer) -> None:
    # The pod's address is one that only ALLOWED_HOSTS can tell.
    client = start_server(ALLOWED_HOSTS="chat.example.com,127.0.0.1,10.1.2.3").client()
    container = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200, path
    [endpoint] = manifest("PodMonitor")["spec"]["podMetricsEndpoints"]
    metric = manifest("HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    scraped = client.get(endpoint["path"], headers={"Host": "10.1.2.3:8000"})
    assert f"\n{metric} 0\n" in scraped.text
    assert f"seriesQuery: {metric}{{" in (DEPLOY / "kubernetes" / "monitoring.yaml").read_text()


def test_what_selects_the_pods_finds_them() -> None:
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert manifest("Service")["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        assert manifest(kind)["spec"]["selector"]["matchLabels"] == labels


def test_the_scheduled_commands_run_when_their_monitors_expect_them() -> None:
    schedules = {each["metadata"]["name"]: each["spec"]["schedule"] for each in manifests("CronJob")}
    assert schedules.keys() == COMMANDS.keys()
    for name, schedule in schedules.items():
        module = import_module(COMMANDS[name])
        assert schedule in vars(module).values(), name


def test_one_process_is_one_pod() -> None:
    assert manifest("ConfigMap")["data"]["WEB_CONCURRENCY"] == "1"
    assert "replicas" not in manifest("Deployment")["spec"], "the autoscaler's number would be overwritten"
