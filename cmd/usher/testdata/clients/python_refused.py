"""Python's websockets, refused again and again.

python_refused.py URL TIMES AT_ONCE
prints one line of JSON: how often it saw each status and body.
"""

import asyncio
import collections
import json
import sys

import websockets

URL, TIMES, AT_ONCE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = {"open_timeout": 3600, "close_timeout": 3600}  # the test has a limit of its own
bodies = {}

if int(websockets.__version__.split(".")[0]) < 14:
    from websockets.client import WebSocketClientProtocol

    # It shows status and headers; the body is there to be read, before it closes.
    class Reading(WebSocketClientProtocol):
        async def read_http_response(self):
            status, headers = await super().read_http_response()
            if status != 101:
                body = await self.reader.readexactly(int(headers["Content-Length"]))
                bodies[id(headers)] = headers, body  # keeps the id taken
            return status, headers

    options["create_protocol"] = Reading


async def knock():
    try:
        async with websockets.connect(URL, **options):
            return "open"
    except websockets.exceptions.InvalidHandshake as error:
        response = getattr(error, "response", error)
        body = bodies.get(id(response.headers), (None, getattr(response, "body", None)))[1]
        return f"{response.status_code} {(body or b'').decode()}"
    except Exception as error:
        return f"error: {error!r}"


async def main():
    seen, left = collections.Counter(), iter(range(TIMES))

    async def worker():
        for _ in left:
            seen[await knock()] += 1

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    print(json.dumps(seen))


asyncio.run(main())
