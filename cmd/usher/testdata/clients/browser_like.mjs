// converse drives any WebSocket with the interface that browsers have, and
// returns what it saw. It is self-contained: Chromium gets it as text.
export async function converse(WebSocket, job) {
  const seen = {echoed: [], close: 0, refused: {}, chat: []};

  const connect = url => {
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    return ws;
  };
  const once = (ws, event) => new Promise((resolve, reject) => {
    ws.addEventListener(event, resolve, {once: true});
    if (event !== "close") ws.addEventListener("close", e => reject(new Error(`closed with ${e.code}, want ${event}`)), {once: true});
  });

  let ws = connect(job.echo);
  await once(ws, "open");
  for (const size of job.sizes) {
    const text = "x".repeat(size), bytes = new TextEncoder().encode(text);
    ws.send(text);
    if ((await once(ws, "message")).data === text) seen.echoed.push(`text ${size}`);
    ws.send(bytes);
    const {data} = await once(ws, "message");
    if (data instanceof ArrayBuffer && new TextDecoder().decode(data) === text) seen.echoed.push(`binary ${size}`);
  }
  ws.close(1000, "bye");
  seen.close = (await once(ws, "close")).code;

  ws = connect(job.refused);
  seen.refused.close = (await once(ws, "close")).code; // all that a page is told

  ws = connect(job.chat);
  seen.chat.push((await once(ws, "message")).data);
  ws.send("hi");
  seen.chat.push((await once(ws, "message")).data);
  ws.close(1000);
  await once(ws, "close");
  return seen;
}
