"""How long an attempt is waited for."""

import asyncio

import pytest

from conversations.patience import Patience
from providers.registry import Timeouts


def wait(pauses: list[float], *, first: float = 0.2, silence: float = 0.2, turn: float = 10) -> str:
    """Which time-out ends a block in which tokens come after these pauses; empty when none does."""

    async def scene() -> str:
        patience = Patience(Timeouts(first_token=first, silence=silence), asyncio.get_running_loop().time() + turn)
        try:
            async with patience:
                for pause in pauses:
                    await asyncio.sleep(pause)
                    patience.token()
        except TimeoutError:
            assert patience.over
        return patience.over

    return asyncio.run(scene())


def test_tokens_in_time_are_waited_for_however_many() -> None:
    assert wait([0.05] * 10) == ""


def test_the_first_token_has_a_time_of_its_own() -> None:
    assert wait([0.3], first=0.1, silence=9) == "first token"
    assert wait([0.3, 0.01], first=9, silence=0.1) == ""


def test_the_next_tokens_have_another() -> None:
    assert wait([0.01, 0.05, 0.4], first=9, silence=0.15) == "silence"


def test_the_turns_end_is_the_end_of_it() -> None:
    assert wait([0.05] * 20, turn=0.3) == "turn"
    assert wait([9], first=9, turn=0.1) == "turn"
    assert wait([0.01], turn=-1) == "turn"


def test_a_timeout_of_somebody_else_is_none_of_its_own() -> None:
    async def scene() -> None:
        patience = Patience(Timeouts(), asyncio.get_running_loop().time() + 10)
        with pytest.raises(TimeoutError):
            async with patience:
                raise TimeoutError
        assert patience.over == ""

    asyncio.run(scene())


def test_a_cancellation_goes_through() -> None:
    async def scene() -> None:
        async def block() -> None:
            async with Patience(Timeouts(first_token=0.05), asyncio.get_running_loop().time() + 10):
                await asyncio.sleep(9)

        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
