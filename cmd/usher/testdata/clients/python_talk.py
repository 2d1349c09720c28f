"""Python's websockets against any server.

python_talk.py '{"url": URL, "say": [TEXT, ...], "hear": N, "ends": BOOL}'
says all, hears N messages, waits for the server to end if it is to, else ends with
1000, and prints what it saw as one line of JSON. With "tls": {"ca": FILE, "cert": FILE,
"key": FILE} it shows a certificate.
"""

import asyncio
import json
import ssl
import sys

import websockets

# The test has a limit of its own.
PATIENT = {"open_timeout": 3600, "ping_timeout": 3600, "close_timeout": 3600}


def secure(files):
    context = ssl.create_default_context(cafile=files["ca"])
    context.load_cert_chain(files["cert"], files["key"])
    return context


async def talk(job, seen):
    options = dict(PATIENT, ssl=secure(job["tls"])) if "tls" in job else PATIENT
    async with websockets.connect(job["url"], **options) as ws:
        try:
            for said in job["say"]:
                await ws.send(said)
            for _ in range(job["hear"]):
                seen["heard"].append(await ws.recv())
            if job["ends"]:
                await ws.recv()
            await ws.close(1000, "bye")
        except websockets.exceptions.ConnectionClosed:
            pass
        await ws.wait_closed()
        seen["close"], seen["reason"] = ws.close_code, ws.close_reason


async def main():
    job = json.loads(sys.argv[1])
    seen = {"status": 101, "body": "", "heard": [], "close": 0, "reason": ""}
    try:
        await talk(job, seen)
    except websockets.exceptions.InvalidHandshake as error:
        # Up to version 13 the error has status and headers, later a response.
        response = getattr(error, "response", error)
        seen["status"] = response.status_code
        seen["body"] = (getattr(response, "body", None) or b"").decode()
    print(json.dumps(seen))


asyncio.run(main())
