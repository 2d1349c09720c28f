"""An application of the shape of FastAPI's tutorials: a log-in that signs a token, and a chat.

APP_SECRET=… uvicorn fastapi_app:app --port 0

It can refuse a WebSocket in one way, a bare 403. What a guard in front of it knows of the user it
reads from a header.
"""

import os
import time
import urllib.parse

import jwt
from fastapi import FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

app = FastAPI()
secret = os.environ["APP_SECRET"]
passwords = {"alice": "wonderland", "bob": "builder"}


class Login(BaseModel):
    username: str
    password: str


class Rooms:
    def __init__(self):
        self.sockets = {}

    async def say(self, room, text):
        for socket in list(self.sockets.get(room, ())):
            await socket.send_text(text)


rooms = Rooms()


@app.post("/token")
async def log_in(login: Login):
    if passwords.get(login.username) != login.password:
        raise HTTPException(401, "Incorrect username or password")
    claims = {"sub": login.username, "exp": int(time.time()) + 3600}
    return {"access_token": jwt.encode(claims, secret, "HS256"), "token_type": "bearer"}


@app.get("/me")
async def me(request: Request):
    return {"user": request.headers.get("x-usher-subject"), "authorization": request.headers.get("authorization")}


@app.websocket("/ws/{room}")
async def chat(socket: WebSocket, room: str):
    user = urllib.parse.unquote(socket.headers.get("x-usher-subject", ""))
    if not user or room == "private":
        await socket.close()  # before it is accepted: 403
        return
    await socket.accept()
    members = rooms.sockets.setdefault(room, [])
    members.append(socket)
    try:
        await rooms.say(room, f"{user} has joined")
        while True:
            await rooms.say(room, f"{user}: {await socket.receive_text()}")
    except WebSocketDisconnect as gone:
        members.remove(socket)
        await rooms.say(room, f"{user} has left with {gone.code}")
