"""Whatever its threads are at, a worker ends."""

import asyncio
import socket
import subprocess
import sys

import pytest

from chatproject import names

ENDS = """
import asyncio, socket, time, {loops}
from chatproject import names

socket.getaddrinfo = lambda *args, **options: time.sleep(600)  # a name server that does not answer

async def main():
    loop = asyncio.get_running_loop()
    names.install(loop)
    print(await loop.run_in_executor(None, max, 1, 2))
    looking = loop.create_task(loop.getaddrinfo("sentry.invalid", 443, type=socket.SOCK_STREAM))
    await asyncio.sleep(0)
    assert not looking.done()

runner = asyncio.Runner(loop_factory={loops}.new_event_loop)
runner.run(main())
runner.close()  # as gunicorn does
"""


@pytest.mark.parametrize("loops", ["asyncio", "uvloop"])
def test_a_process_ends_while_a_name_is_looked_up(loops: str) -> None:
    code = ENDS.format(loops=loops)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_a_name_is_found_and_one_that_is_none_is_an_error() -> None:
    async def look_up(host: str) -> set[str]:
        loop = asyncio.get_running_loop()
        names.install(loop)
        return {address[0] for *_, address in await loop.getaddrinfo(host, 80)}

    assert asyncio.run(look_up("localhost")) & {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        asyncio.run(look_up("not/a/name"))
