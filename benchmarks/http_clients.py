"""What a streamed request costs the client that sends it: this server's, by aiohttp, and the `openai` package.

    python -m benchmarks.http_clients [--requests N]

CPU of a request and of each chunk of its answer, from answers of 1 and of 50 tokens a millisecond apart; and the most
memory of a process that does nothing else. In turn, three rounds; the medians.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.stage import upstream

ROUNDS = 3
CLIENTS = ("openai", "aiohttp")
TOKENS = (1, 50)
Ask = Callable[[int], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--measure", nargs=2, metavar=("CLIENT", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        uvloop.run(measure(arguments.measure[0], int(arguments.measure[1]), arguments.requests))
        return
    found: dict[str, list[list[float]]] = {client: [] for client in CLIENTS}
    with upstream(gap=0.001) as (port, _):
        for _ in range(ROUNDS):
            for client in CLIENTS:
                command = [sys.executable, "-m", "benchmarks.http_clients", "--requests", str(arguments.requests)]
                done = subprocess.run(
                    [*command, "--measure", client, str(port)], capture_output=True, text=True, check=True
                )
                found[client].append([float(word) for word in done.stdout.split()])
    print(f"{'':10} {'ms a request':>14} {'us a chunk':>12} {'MB':>6}")
    for client in CLIENTS:
        short, long, memory = (statistics.median(column) for column in zip(*found[client], strict=True))
        chunk = (long - short) / (TOKENS[1] - TOKENS[0])
        print(f"{client:10} {short * 1000:14.2f} {chunk * 1e6:12.0f} {memory:6.0f}")


async def measure(client: str, port: int, requests: int) -> None:
    """Prints the CPU seconds of a request for each of TOKENS, and the most memory in megabytes."""
    ask = CLIENT[client](f"http://127.0.0.1:{port}/v1")
    for tokens in TOKENS:
        await ask(tokens)
        started = time.process_time()
        for _ in range(requests):
            await ask(tokens)
        print((time.process_time() - started) / requests)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def by_openai(url: str) -> Ask:
    import openai

    create = openai.AsyncOpenAI(
        api_key="x", base_url=url, max_retries=0
    ).chat.completions.with_streaming_response.create

    async def ask(tokens: int) -> None:
        async with create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=tokens
        ) as response:
            async for _ in response.iter_bytes():
                pass

    return ask


def by_aiohttp(url: str) -> Ask:
    from providers.http import Connections
    from providers.registry import Provider

    connections = Connections(Provider(name="m", label="M", base_url=url, model="m", api_key="x"))

    async def ask(tokens: int) -> None:
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream": true,"max_tokens": %d}' % tokens
        response = await connections.post(connections.url("/chat/completions"), body)
        while await response.content.readany():
            pass

    return ask


CLIENT: dict[str, Callable[[str], Ask]] = {"openai": by_openai, "aiohttp": by_aiohttp}

if __name__ == "__main__":
    main()
