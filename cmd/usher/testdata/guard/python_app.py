"""A chat on Python's websockets: python_app.py SOCKET, with APP_SECRET.

The application of gorilla_app_test.go and node_app.mjs once more.
"""

import asyncio
import base64
import os
import sys
import time
import urllib.parse
from http import HTTPStatus

import jwt
import websockets

passwords = {"alice": "wonderland", "bob": "builder"}
rooms = {}


async def process_request(path, headers):
    if headers.get("upgrade", "").lower() == "websocket":
        if path == "/ws/private" or "x-usher-subject" not in headers:
            return HTTPStatus.FORBIDDEN, [], b"members only"
        return None
    if path == "/":
        with open("index.html", "rb") as page:
            return HTTPStatus.OK, [("Content-Type", "text/html")], page.read()
    if path != "/token":
        return HTTPStatus.NOT_FOUND, [], b"nothing here"
    user, _, password = base64.b64decode(headers.get("authorization", "").replace("Basic ", "")).decode().partition(":")
    if not password or passwords.get(user) != password:
        return HTTPStatus.UNAUTHORIZED, [], b"wrong name or password"
    return HTTPStatus.OK, [], jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, os.environ["APP_SECRET"], "HS256").encode()


async def chat(socket, path):
    user = urllib.parse.unquote(socket.request_headers["x-usher-subject"])
    members = rooms.setdefault(path, set())
    members.add(socket)
    websockets.broadcast(members, f"{user} has joined")
    try:
        async for text in socket:
            websockets.broadcast(members, f"{user}: {text}")
    except websockets.ConnectionClosed:
        pass
    members.remove(socket)
    print(f"{user} has left with {socket.close_code}", flush=True)
    websockets.broadcast(members, f"{user} has left")


async def main():
    if os.path.exists(sys.argv[1]):
        os.remove(sys.argv[1])
    async with websockets.unix_serve(chat, sys.argv[1], process_request=process_request):
        print("listening", flush=True)
        await asyncio.Future()


asyncio.run(main())
