"""DBOS on SQLite: workflows of steps that do nothing."""

import asyncio
import os
import sys
import tempfile
import time

from dbos import DBOS

folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR",
             "run_admin_server": False})


@DBOS.step()
async def nothing(n: int) -> int:
    return n


@DBOS.workflow()
async def flow(steps: int) -> int:
    total = 0
    for n in range(steps):
        total += await nothing(n)
    return total


async def many(runs: int, steps: int) -> float:
    began = time.monotonic()
    handles = [await DBOS.start_workflow_async(flow, steps) for _ in range(runs)]
    for handle in handles:
        assert await handle.get_result() == steps * (steps - 1) // 2
    return runs * steps / (time.monotonic() - began)


async def main() -> None:
    await many(1, 5)
    for runs, steps in [(1, 100), (256, 4)]:
        print(f"dbos: {runs} runs of {steps} steps: {await many(runs, steps):.0f} steps/s", flush=True)


DBOS.launch()
asyncio.run(main())
os._exit(0)
