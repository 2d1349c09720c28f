// usher.js in Node: node usher_peer.mjs KIND URL, where URL has the module, and KIND is the
// WebSocket that it uses: ws, undici or global.
// Each line of standard input is {"how":"evaluate"|"until","args":[EXPRESSION]}, and is answered
// by a line {"value":…} or {"error":…}, as puppets.mjs does. It ends with its input.
import {createInterface} from "node:readline";
import * as undici from "undici";
import ws from "ws";

const [kind, url] = process.argv.slice(2);
const of = {ws: {WebSocket: ws}, undici: {WebSocket: undici.WebSocket, fetch: undici.fetch}, global: {}}[kind];
const module = await import(`data:text/javascript,${encodeURIComponent(await (await fetch(url)).text())}`);
globalThis.connect = (url, options) => module.connect(url, {...of, ...options});

const methods = {
  evaluate: expression => (0, eval)(expression),
  async until(expression) {
    while (!await (0, eval)(expression)) await new Promise(resolve => setTimeout(resolve, 20));
  },
  errors: () => [],
};

for await (const line of createInterface({input: process.stdin})) {
  const {how, args} = JSON.parse(line);
  try {
    console.log(JSON.stringify({value: await methods[how](...args) ?? null}));
  } catch (error) {
    console.log(JSON.stringify({error: `${error.stack}`}));
  }
}
process.exit();
