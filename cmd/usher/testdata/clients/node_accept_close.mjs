// Node's ws and undici, which shows what browsers show, before a door in the
// accept-close view: node node_accept_close.mjs '["ws://…","ws://…"]'
// prints one line of JSON: for each library and URL, whether it opened, and the
// code and reason it was closed with.
import WS from "ws";
import {WebSocket} from "undici";

const ended = (Client, url) => new Promise(resolve => {
  const ws = new Client(url);
  let opened = false;
  ws.addEventListener("open", () => { opened = true; });
  ws.addEventListener("close", e => resolve({opened, code: e.code, reason: e.reason, clean: e.wasClean}));
  ws.addEventListener("error", () => {}); // a close follows
});

const seen = {};
for (const [name, Client] of [["ws", WS], ["undici", WebSocket]]) {
  seen[name] = [];
  for (const url of JSON.parse(process.argv[2])) seen[name].push(await ended(Client, url));
}
console.log(JSON.stringify(seen));
