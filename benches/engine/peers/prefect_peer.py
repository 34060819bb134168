"""Prefect with its server inside the process: flows of tasks that do nothing."""

import asyncio
import time

from prefect import flow, task


@task
async def nothing(n: int) -> int:
    return n


@flow(log_prints=False)
async def many(steps: int) -> int:
    total = 0
    for n in range(steps):
        total += await nothing(n)
    return total


async def measure(runs: int, steps: int) -> float:
    began = time.monotonic()
    results = await asyncio.gather(*(many(steps) for _ in range(runs)))
    assert results == [steps * (steps - 1) // 2] * runs
    return runs * steps / (time.monotonic() - began)


async def main() -> None:
    await measure(1, 2)
    for runs, steps in [(1, 60), (32, 4)]:
        print(f"prefect: {runs} runs of {steps} steps: {await measure(runs, steps):.0f} steps/s", flush=True)


asyncio.run(main())
