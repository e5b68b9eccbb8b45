"""Debian's nginx before several servers, as a deployment has it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.fakes.ports import free_port
from tests.fakes.waiting import poll

MAIN = """
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def installed() -> str | None:
    """Its path."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def nginx(site: Path, folder: Path, nodes: Sequence[str]) -> Iterator[str]:
    """Runs with `site`, an upstream and a server, before the servers at the URLs `nodes`. Its own URL."""
    port = free_port()
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(MAIN.format(folder=folder, site=adapted(site.read_text(), port, nodes)))
    # The folders of tests are closed to the user that its workers would else run as.
    user = "user root; " if os.geteuid() == 0 else ""
    with log.open("wb") as output:
        command = [str(installed()), "-p", str(folder), "-c", str(configuration), "-g", f"{user}daemon off;"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        poll(lambda: process.poll() is not None or answers(url), 10, "nginx")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(10)


def adapted(site: str, port: int, nodes: Sequence[str]) -> str:
    """The configuration with the nodes in place of its one server, and a port of the loopback."""
    servers = "\n".join(rf"server {urlsplit(url).netloc}\1;" for url in nodes)
    site, upstreams = re.subn(r"^ *server [^{; ]+( [^{;]*)?;", servers, site, flags=re.MULTILINE)
    site, listeners = re.subn(r"^ *listen [^;]+;", f"listen 127.0.0.1:{port};", site, flags=re.MULTILINE)
    assert (upstreams, listeners) == (1, 1)
    return site


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
