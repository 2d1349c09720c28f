"""Python's websockets, which compresses with what it has said before, in front of an echo that does,
too, while a backend has the guard between them say something.

python_told.py URL API KEY USER SENTENCE N
prints what it heard as one line of JSON.
"""

import asyncio
import json
import sys
import urllib.request

import websockets


async def main():
    url, api, key, user, sentence, n = sys.argv[1:]

    def tell(text):
        body = json.dumps({"text": text}).encode()
        head = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{api}/v1/users/{user}/messages", body, head)).read()

    seen = {"told": [], "echoed": 0}
    async with websockets.connect(url, max_size=None) as ws:
        for k in range(int(n)):
            await ws.send(f"({k} {sentence}")
            await asyncio.to_thread(tell, f"told {k} {sentence}")
            await ws.send(")" + sentence)
            for _ in range(2):
                heard = await ws.recv()
                if heard == f"told {k} {sentence}":
                    seen["told"].append(k)
                elif heard == f"({k} {sentence}){sentence}":
                    seen["echoed"] += 1
                else:
                    seen.setdefault("else", []).append(heard[:100])
    print(json.dumps(seen))


asyncio.run(main())
