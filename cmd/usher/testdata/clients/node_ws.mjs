// Node's ws against a running usher: node node_ws.mjs '{"echo":URL,"refused":URL,"chat":URL,"sizes":[N…],"objects":URL,"say":[TEXT…]}'
// prints what it saw as one line of JSON.
import WebSocket from "ws";

const job = JSON.parse(process.argv[2]);
const seen = {echoed: [], pong: false, close: 0, refused: {}, chat: [], objects: []};

const once = (emitter, event) => new Promise((resolve, reject) => {
  emitter.once(event, (...args) => resolve(args));
  emitter.once("error", reject);
});

async function echo() {
  const ws = new WebSocket(job.echo);
  await once(ws, "open");
  for (const size of job.sizes) {
    for (const kind of ["text", "binary"]) {
      const sent = Buffer.alloc(size, "x");
      ws.send(kind === "text" ? sent.toString() : sent);
      const [data, isBinary] = await once(ws, "message");
      if (isBinary === (kind === "binary") && data.equals(sent)) seen.echoed.push(`${kind} ${size}`);
    }
  }
  ws.ping("are you there");
  const [payload] = await once(ws, "pong");
  seen.pong = payload.toString() === "are you there";
  ws.close(1000, "bye");
  [seen.close] = await once(ws, "close");
}

async function refused() {
  const ws = new WebSocket(job.refused);
  const [, response] = await once(ws, "unexpected-response");
  let body = "";
  for await (const part of response) body += part;
  seen.refused = {status: response.statusCode, challenge: response.headers["www-authenticate"], body};
}

async function chat() {
  const ws = new WebSocket(job.chat);
  seen.chat.push((await once(ws, "message"))[0].toString());
  ws.send("hi");
  seen.chat.push((await once(ws, "message"))[0].toString());
  ws.close(1000);
  await once(ws, "close");
}

// objects speaks the JSON dialect, in a room of its own.
async function objects() {
  const ws = new WebSocket(job.objects, ["chat.usher.v1+json"]);
  const hear = async () => seen.objects.push(JSON.parse((await once(ws, "message"))[0].toString()));
  await hear();
  seen.subprotocol = ws.protocol;
  for (const said of job.say) {
    ws.send(said);
    await hear();
  }
  ws.close(1000);
  await once(ws, "close");
}

await echo();
await refused();
await chat();
if (job.say) await objects();
console.log(JSON.stringify(seen));
