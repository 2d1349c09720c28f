"""Python's websockets, with permessage-deflate as it offers it, against a running usher.

python_deflate.py '{"echo": URL, "sentence": TEXT, "sizes": [N, ...]}'
prints what it saw as one line of JSON.
"""

import asyncio
import json
import sys

import websockets


async def main():
    job = json.loads(sys.argv[1])
    seen = {"echoed": []}
    async with websockets.connect(job["echo"], max_size=None) as ws:
        # From version 14 on the connection has them in its protocol.
        seen["extensions"] = repr(getattr(ws, "protocol", ws).extensions)
        for size in job["sizes"]:
            text = (job["sentence"] * (size // len(job["sentence"]) + 1))[:size]
            for kind, sent in ("text", text), ("binary", text.encode()):
                await ws.send(sent)
                if await ws.recv() == sent:
                    seen["echoed"].append(f"{kind} {size}")
    print(json.dumps(seen))


asyncio.run(main())
