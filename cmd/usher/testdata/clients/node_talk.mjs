// Node's ws against any server: node node_talk.mjs '{"url":URL,"say":[TEXT…],"hear":N,"ends":BOOL}'
// says all, hears N messages, waits for the server to end if it is to, else ends with
// 1000, and prints what it saw as one line of JSON. With "tls":{"ca":FILE,"cert":FILE,"key":FILE}
// it shows a certificate.
import {readFileSync} from "node:fs";
import WebSocket from "ws";

const job = JSON.parse(process.argv[2]);
const seen = {status: 101, body: "", heard: [], close: 0, reason: ""};

const print = () => console.log(JSON.stringify(seen));

const tls = Object.entries(job.tls ?? {}).map(([name, file]) => [name, readFileSync(file)]);
const ws = new WebSocket(job.url, Object.fromEntries(tls));
ws.on("unexpected-response", async (_, response) => {
  seen.status = response.statusCode;
  for await (const part of response) seen.body += part;
  print();
});
ws.on("error", () => {});
ws.on("open", () => {
  for (const said of job.say) ws.send(said);
  if (job.hear === 0 && !job.ends) ws.close(1000, "bye");
});
ws.on("message", data => {
  seen.heard.push(data.toString());
  if (seen.heard.length === job.hear && !job.ends) ws.close(1000, "bye");
});
ws.on("close", (code, reason) => {
  seen.close = code;
  seen.reason = reason.toString();
  if (seen.status === 101) print();
});
