// A chat on Node's ws: node node_app.mjs SOCKET, with APP_SECRET and NODE_APP_MODULES, a directory.
// The application of gorilla_app_test.go and python_app.py once more.
import {createRequire} from "node:module";
import {readFileSync, rmSync} from "node:fs";
import {createServer} from "node:http";

const require = createRequire(process.env.NODE_APP_MODULES + "/");
const {WebSocketServer} = require("ws"), jwt = require("jsonwebtoken");
const passwords = {alice: "wonderland", bob: "builder"};
const rooms = new Map();

const http = createServer((request, response) => {
  const answer = (status, body) => { response.writeHead(status, {"Content-Type": "text/html"}).end(body); };
  if (request.url === "/") return answer(200, readFileSync("index.html"));
  if (request.url !== "/token") return answer(404, "nothing here");
  const [user, password] = Buffer.from((request.headers.authorization ?? "").replace("Basic ", ""), "base64").toString().split(":");
  if (!password || passwords[user] !== password) return answer(401, "wrong name or password");
  answer(200, jwt.sign({sub: user}, process.env.APP_SECRET, {expiresIn: 3600}));
});

const server = new WebSocketServer({noServer: true, perMessageDeflate: true});
http.on("upgrade", (request, socket, head) => {
  const room = request.url.replace("/ws/", ""), user = decodeURIComponent(request.headers["x-usher-subject"] ?? "");
  if (!user || room === "private") {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\nConnection: close\r\n\r\nmembers only");
    return;
  }
  server.handleUpgrade(request, socket, head, member => {
    const members = rooms.get(room) ?? rooms.set(room, new Set()).get(room);
    const say = text => { for (const m of members) m.send(text); };
    members.add(member);
    say(`${user} has joined`);
    member.on("message", data => say(`${user}: ${data}`));
    member.on("error", error => console.log(`${user}: ${error.message}`));
    member.on("close", code => {
      members.delete(member);
      console.log(`${user} has left with ${code}`);
      say(`${user} has left`);
    });
  });
});

rmSync(process.argv[2], {force: true});
http.listen(process.argv[2], () => console.log("listening"));
