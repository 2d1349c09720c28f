"""Python's websockets, with permessage-deflate as it offers it, or asking for a window,
against a running usher.

python_deflate.py '{"echo": URL, "sentence": TEXT, "sizes": [N, ...], "window": BITS}'
prints what it saw as one line of JSON.
"""

import asyncio
import json
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


async def main():
    job = json.loads(sys.argv[1])
    seen = {"echoed": []}
    how = {"max_size": None, "open_timeout": 3600, "ping_timeout": 3600, "close_timeout": 3600}  # the test has a limit of its own
    if "window" in job:
        how["extensions"] = [ClientPerMessageDeflateFactory(server_max_window_bits=job["window"], client_max_window_bits=True)]
    async with websockets.connect(job["echo"], **how) as ws:
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
