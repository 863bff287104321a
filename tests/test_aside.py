"""What may hang is asked in threads that nobody waits for in vain."""

from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from scheduler.aside import Aside, Beside, Hangs


def test_what_it_returns_or_raises_comes_back() -> None:
    async def test() -> None:
        aside = Aside("the folder", 20)
        assert await asyncio.gather(*(aside.run(lambda n=n: n) for n in range(5))) == [0, 1, 2, 3, 4]  # type: ignore[misc]
        with pytest.raises(ZeroDivisionError):
            await aside.run(lambda: 1 // 0)

    asyncio.run(test())


def test_while_one_hangs_others_hear_it_at_once_and_afterwards_all_is_well() -> None:
    released, begun = threading.Event(), 0

    def hang() -> None:
        nonlocal begun
        begun += 1
        released.wait(20)

    async def test() -> None:
        aside = Aside("the folder", 0.2)
        with pytest.raises(Hangs, match="the folder does not answer"):
            await aside.run(hang)
        for _ in range(20):
            with pytest.raises(Hangs):
                await aside.run(hang)
        assert begun == 1, "no thread more hangs for each that asks"
        assert await asyncio.to_thread(lambda: 1) == 1, "the loop's own are free"
        released.set()
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await aside.run(lambda: 2) == 2
                    break
                except Hangs:
                    await asyncio.sleep(0.01)

    asyncio.run(test())


def test_without_a_loop_it_is_the_same() -> None:
    beside, released = Beside("the file", 20), threading.Event()
    assert beside.run(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        beside.run(lambda: 1 // 0)

    def late() -> None:
        raise TimeoutError("a network file system gave up")

    with pytest.raises(TimeoutError, match="gave up"):
        beside.run(late)

    begun = 0

    def hang() -> None:
        nonlocal begun
        begun += 1
        released.wait(20)

    beside = pickle.loads(pickle.dumps(Beside("the file", 0.05)))
    for _ in range(20):
        with pytest.raises(Hangs, match="the file does not answer"):
            beside.run(hang)
    assert begun == 1, "no thread more hangs for each that asks"
    released.set()
    for one in threading.enumerate():
        if one.name == "the file":
            one.join(20)
    assert beside.run(lambda: 2) == 2


def test_the_process_ends_though_one_hangs() -> None:
    async def test() -> None:
        with pytest.raises(Hangs):
            await Aside("the folder", 0.05).run(lambda: threading.Event().wait(600))

    asyncio.run(test())
    assert all(one.daemon for one in threading.enumerate() if one.name == "the folder")
