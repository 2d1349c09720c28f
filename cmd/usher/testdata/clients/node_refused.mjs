// Node's ws, refused again and again: node node_refused.mjs URL TIMES AT_ONCE
// prints one line of JSON: how often it saw each status and body.
import WebSocket from "ws";

const [url, times, atOnce] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const seen = {};

const knock = () => new Promise(resolve => {
  const ws = new WebSocket(url);
  ws.on("unexpected-response", async (request, response) => {
    try {
      let body = "";
      for await (const part of response) body += part;
      resolve(`${response.statusCode} ${body}`);
    } catch (error) {
      resolve(`body: ${error}`);
    }
  });
  ws.on("open", () => resolve("open"));
  ws.on("error", error => resolve(`error: ${error}`));
});

let left = times;
await Promise.all(Array.from({length: atOnce}, async () => {
  while (left-- > 0) {
    const what = await knock();
    seen[what] = (seen[what] ?? 0) + 1;
  }
}));
console.log(JSON.stringify(seen));
