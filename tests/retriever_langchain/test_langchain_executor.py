"""Blocking work off the event loop."""

import asyncio
import subprocess
import sys
import threading
import time
from contextvars import ContextVar

import pytest

from retriever_langchain import executor
from retriever_langchain.executor import off_loop

who = ContextVar("who", default="nobody")


async def test_a_call_runs_elsewhere_with_the_context_of_its_caller():
    who.set("caller")
    thread, name = await off_loop(lambda: (threading.current_thread(), who.get()))
    assert thread is not threading.current_thread()
    assert thread.name.startswith("retriever-langchain")
    assert name == "caller"


async def test_what_a_call_sets_stays_with_it():
    await off_loop(who.set, "callee")
    assert who.get() == "nobody"


async def test_arguments_results_and_errors_pass_through():
    assert await off_loop(divmod, 7, 2) == (3, 1)
    assert await off_loop(int, "ff", base=16) == 255
    with pytest.raises(ZeroDivisionError):
        await off_loop(divmod, 1, 0)


async def test_an_exhausted_iterator_does_not_hang_its_caller():
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(off_loop(next, iter([])), timeout=10)


async def test_there_are_few_threads_however_many_calls():
    def name():
        time.sleep(0.01)
        return threading.current_thread().name

    names = await asyncio.gather(*(off_loop(name) for _ in range(32)))
    assert 1 < len(set(names)) <= executor._THREADS


async def test_the_loop_goes_on_meanwhile():
    slow = asyncio.ensure_future(off_loop(time.sleep, 0.3))
    turns = 0
    while not slow.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 5


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own():
    said = run("""
import asyncio, os, threading
from retriever_langchain.executor import off_loop
async def name(): return await asyncio.wait_for(off_loop(lambda: threading.current_thread().name), 20)
assert asyncio.run(name()).startswith("retriever-langchain")
child = os.fork()
if child == 0:
    print("child", asyncio.run(name()), flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""")
    assert said.startswith("child retriever-langchain")


def test_the_interpreter_waits_for_what_runs():
    said = run("""
import asyncio, time
from retriever_langchain.executor import off_loop
def work():
    time.sleep(0.3)
    print("finished")
async def main():
    task = asyncio.ensure_future(off_loop(work))
    await asyncio.sleep(0.1)
    task.cancel()
asyncio.run(main())
""")
    assert said == "finished\n"
