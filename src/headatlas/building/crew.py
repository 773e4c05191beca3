"""Workers that share out a list of tasks; results come in the list's order, whoever did them.

1. Threads take the next task each (a request is waiting, not computing).
2. The first error ends it: no further task is taken, those under way are waited for (their answers are paid for),
   then the error is raised.
3. Ctrl-C ends it at once, without waiting: the threads are daemons.

It does not know what a task is.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from headatlas.building.budget import Stopped

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    stopped: threading.Event,
    progress: Callable[[int, int], None],
) -> list[Result]:
    """Return ``[work(item) for item in items]``, made by that many threads.

    Parameters
    ----------
    work
        Called with one item, by any thread.
    items
        The tasks.
    workers
        How many threads.
    stopped
        Set when an error ends it, for whatever else should stop.
    progress
        Called with (done, total) by the caller's thread.
    """
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        tasks.put(index)
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()

    def take() -> None:
        while not stopped.is_set():
            try:
                index = tasks.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, work(items[index]), None))
            except BaseException as error:  # raised again by the caller's thread
                stopped.set()
                done.put((index, None, error))

    threads = [threading.Thread(target=take, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    results: dict[int, Any] = {}
    progress(0, len(items))
    try:
        while len(results) < len(items):
            index, result, error = done.get()
            if error is None:
                results[index] = result
                progress(len(results), len(items))
                continue
            for thread in threads:
                thread.join()
            while not done.empty():  # what was under way when the error came
                index, result, later = done.get()
                if later is None:
                    results[index] = result
                elif isinstance(error, Stopped):  # not the error that is to be told
                    error = later
            progress(len(results), len(items))
            raise error
    except BaseException:
        stopped.set()
        raise
    return [results[index] for index in range(len(items))]
