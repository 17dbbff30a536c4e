"""Built in day 18, Concurrency: ``runner taught`` copies it from day18_concurrency.ipynb."""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from multiprocessing import get_context
from multiprocessing.connection import wait as listen


def prefetch(items, room=2):
    """The same items; a thread makes them, at most `room` ahead.

    Its errors are raised here; closing ends it and closes `items`."""
    free, ready = threading.Semaphore(room), queue.SimpleQueue()
    leaving = threading.Event()
    thread = threading.Thread(target=run_ahead, daemon=True,
                              args=(items, free, ready, leaving))
    thread.start()
    try:
        while (message := ready.get())[0] == "item":
            free.release()
            yield message[1]
        if message[0] == "error":
            raise message[1]
    finally:
        leaving.set()
        free.release()                   # wake it, if it waits for room
        thread.join()


def run_ahead(items, free, ready, leaving):
    """What the thread of `prefetch` does."""
    try:
        source = iter(items)
        try:
            while free.acquire() and not leaving.is_set():
                ready.put(("item", next(source)))
        except StopIteration:
            ready.put(("end", None))
        finally:
            if hasattr(source, "close"):
                source.close()
    except BaseException as err:         # whatever it is, it must cross
        ready.put(("error", err))


def serve(pipe, fn):
    """A worker's life: (index, item) in; index, result, error out."""
    with contextlib.suppress(EOFError):          # the parent has gone
        while True:
            index, item = pipe.recv()
            try:
                pipe.send((index, fn(item), None))
            except Exception as err:
                pipe.send((index, None, err))


async def get(port, path):
    """The body of a page on this machine; cancelling it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                     "Connection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        raise OSError(f"{path}: {head[:30]!r}")
    return body.decode()


async def fetch_many(fetch, items, limit=8, timeout=5.0):
    """Results in order, an error in the place of a result.

    At most `limit` run at once; each has `timeout` seconds of its own.
    """
    gate = asyncio.Semaphore(limit)

    async def one(item):
        async with gate:
            try:
                async with asyncio.timeout(timeout):
                    return await fetch(item)
            except Exception as err:
                return err

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(one(item)) for item in items]
    return [job.result() for job in jobs]


class Ledger:
    """Which item is waiting, in whose hands, or done."""
    def __init__(self, items):
        self.source, self.again = enumerate(items), deque()
        self.hands, self.done = {}, set()
    def take(self, worker):              # (index, item), or None
        task = (self.again.popleft() if self.again
                else next(self.source, None))
        if task is not None:
            self.hands[worker] = task
        return task
    def finish(self, worker, index):     # is it the first result?
        del self.hands[worker]
        first = index not in self.done
        self.done.add(index)
        return first
    def bury(self, worker):              # its item waits again
        if worker in self.hands:
            self.again.append(self.hands.pop(worker))


def hire(crew, fn, life):
    """A spawned worker joins the crew; returns our end of its pipe."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    crew[ours] = context.Process(target=life, args=(theirs, fn),
                                 daemon=True)
    crew[ours].start()
    theirs.close()                       # or its death is never seen
    return ours


def dismiss(crew, pipe):
    """End a worker, wait for it, return its process id."""
    process = crew.pop(pipe)
    process.kill()
    process.join()                       # or it stays as a zombie
    pipe.close()
    return process.pid


def give(pipe, crew, ledger, log):
    """The next item for a worker, if there is one."""
    task = ledger.take(pipe)
    if task is not None:
        log.append((time.perf_counter(), "give", crew[pipe].pid, task[0]))
        with contextlib.suppress(ConnectionError):    # dead: recv says so
            pipe.send(task)


def receive(pipe, crew, ledger, log):
    """(first, index, result) of a worker, or None if it is dead."""
    try:
        index, result, error = pipe.recv()
    except (EOFError, OSError):
        ledger.bury(pipe)
        log.append((time.perf_counter(), "dead", dismiss(crew, pipe), -1))
        return None
    log.append((time.perf_counter(), "result", crew[pipe].pid, index))
    if error is not None:
        raise error
    return ledger.finish(pipe, index), index, result


def supervise(fn, items, workers=2, deaths=10, life=serve, log=None):
    """(index, result) of each item once, though workers may die."""
    crew, ledger, log = {}, Ledger(items), [] if log is None else log
    try:
        for _ in range(workers):
            give(hire(crew, fn, life), crew, ledger, log)
        while ledger.hands or ledger.again:
            for pipe in listen(list(crew)):
                got = receive(pipe, crew, ledger, log)
                if got is None:
                    if (deaths := deaths - 1) < 0:
                        raise RuntimeError("worker after worker dies")
                    pipe = hire(crew, fn, life)
                give(pipe, crew, ledger, log)
                if got and got[0]:
                    yield got[1:]
    finally:
        for pipe in list(crew):
            dismiss(crew, pipe)
