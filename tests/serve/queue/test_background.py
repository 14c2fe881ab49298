from __future__ import annotations

import asyncio
import threading

from funade.serve.queue.background import BackgroundThread


def test_what_is_asked_together_is_done_together_and_told_in_order() -> None:
    groups: list[list[int]] = []
    hold = threading.Event()

    def double(items: list[int]) -> list[int]:
        hold.wait(120)
        groups.append(items)
        return [2 * item for item in items]

    async def main() -> list[int | Exception]:
        background = BackgroundThread(asyncio.get_running_loop(), "test")
        told: list[int | Exception] = []
        over = asyncio.Event()

        def then(found: int | Exception) -> None:
            told.append(found)
            if len(told) == 100:
                over.set()

        for item in range(100):
            background.ask(double, item, then)
        hold.set()
        await over.wait()
        assert background.waiting == 0
        background.close()
        return told

    assert asyncio.run(main()) == [2 * item for item in range(100)]
    assert [item for group in groups for item in group] == list(range(100))
    assert len(groups) <= 2


def test_what_an_act_raises_is_told_to_all_who_asked_for_it_and_the_thread_goes_on() -> None:
    def fail(items: list[int]) -> list[int]:
        raise ValueError("no")

    def keep(items: list[int]) -> list[int]:
        return items

    async def main() -> list[object]:
        background = BackgroundThread(asyncio.get_running_loop(), "test")
        found = [asyncio.Queue[object]() for _ in range(2)]
        background.ask(fail, 1, found[0].put_nowait)
        background.ask(keep, 2, found[1].put_nowait)
        said = [await queue.get() for queue in found]
        background.close()
        return said

    first, second = asyncio.run(main())
    assert (str(first), second) == ("no", 2)
