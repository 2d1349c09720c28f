"""Python's websockets against a running usher.

python_websockets.py '{"echo": URL, "refused": URL, "chat": URL, "sizes": [N, ...],
                       "objects": URL, "say": [TEXT, ...]}'
prints what it saw as one line of JSON.
"""

import asyncio
import json
import sys

import websockets

# The test has a limit of its own.
PATIENT = {"open_timeout": 3600, "ping_timeout": 3600, "close_timeout": 3600}


async def echo(job, seen):
    async with websockets.connect(job["echo"], max_size=None, **PATIENT) as ws:
        for size in job["sizes"]:
            for kind, sent in ("text", "x" * size), ("binary", b"x" * size):
                await ws.send(sent)
                if await ws.recv() == sent:
                    seen["echoed"].append(f"{kind} {size}")
        await (await ws.ping("are you there"))
        seen["pong"] = True
        await ws.close(1000, "bye")
        seen["close"] = ws.close_code


async def refused(job, seen):
    try:
        async with websockets.connect(job["refused"], **PATIENT):
            seen["refused"] = {"status": 101}
    except websockets.exceptions.InvalidHandshake as error:
        # Up to version 13 the error has status and headers, later a response.
        response = getattr(error, "response", error)
        seen["refused"] = {
            "status": response.status_code,
            "challenge": response.headers.get("WWW-Authenticate"),
            "body": (getattr(response, "body", None) or b"").decode(),
        }


async def chat(job, seen):
    async with websockets.connect(job["chat"], **PATIENT) as ws:
        seen["chat"].append(await ws.recv())
        await ws.send("hi")
        seen["chat"].append(await ws.recv())


async def objects(job, seen):
    """Speaks the JSON dialect, in a room of its own."""
    async with websockets.connect(job["objects"], subprotocols=["chat.usher.v1+json"], **PATIENT) as ws:
        seen["subprotocol"] = ws.subprotocol
        seen["objects"].append(json.loads(await ws.recv()))
        for said in job["say"]:
            await ws.send(said)
            seen["objects"].append(json.loads(await ws.recv()))


async def main():
    job = json.loads(sys.argv[1])
    seen = {"echoed": [], "pong": False, "close": 0, "refused": {}, "chat": [], "objects": []}
    await echo(job, seen)
    await refused(job, seen)
    await chat(job, seen)
    if job["say"]:
        await objects(job, seen)
    print(json.dumps(seen))


asyncio.run(main())
