// An echo on Node's ws that compresses everything, with what it has said before:
// node node_echo.mjs, with NODE_APP_MODULES, a directory. What begins with ( is the first part of
// a message, whose last one begins with ).
import {createRequire} from "node:module";

const {WebSocketServer} = createRequire(process.env.NODE_APP_MODULES + "/")("ws");
const server = new WebSocketServer({host: "127.0.0.1", port: 0, perMessageDeflate: {threshold: 0}});
server.on("connection", socket => {
  socket.on("message", (data, isBinary) => socket.send(data, {binary: isBinary, fin: !data.toString().startsWith("(")}));
});
server.on("listening", () => console.log(`http://127.0.0.1:${server.address().port}`));
