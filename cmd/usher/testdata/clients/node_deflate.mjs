// The WebSockets of Node and of Chromium, with permessage-deflate as they offer it,
// against a running usher:
// node node_deflate.mjs '{"client":"ws|undici|chromium","browser":PATH,"page":URL,"echo":URL,"sentence":TEXT,"sizes":[N…],"window":BITS}'
// prints what it saw as one line of JSON.
const job = JSON.parse(process.argv[2]);

// converse is self-contained: Chromium gets it as text.
async function converse(open, job) {
  const seen = {echoed: []};
  const ws = open(job.echo);
  ws.binaryType = "arraybuffer";
  const once = event => new Promise((resolve, reject) => {
    ws.addEventListener(event, resolve, {once: true});
    if (event !== "close") ws.addEventListener("close", e => reject(new Error(`closed with ${e.code}, want ${event}`)), {once: true});
  });
  await once("open");
  seen.extensions = ws.extensions;
  for (const size of job.sizes) {
    const text = job.sentence.repeat(Math.ceil(size / job.sentence.length)).slice(0, size);
    ws.send(text);
    if ((await once("message")).data === text) seen.echoed.push(`text ${size}`);
    ws.send(new TextEncoder().encode(text));
    const {data} = await once("message");
    if (data instanceof ArrayBuffer && new TextDecoder().decode(data) === text) seen.echoed.push(`binary ${size}`);
  }
  ws.close(1000);
  await once("close");
  return seen;
}

async function inChromium() {
  const {chromium} = await import("playwright-core");
  const browser = await chromium.launch({
    executablePath: job.browser,
    headless: true,
    timeout: 300_000, // of a busy machine
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  try {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(300_000);
    await page.goto(job.page);
    return await page.evaluate(`(${converse})(url => new WebSocket(url), ${JSON.stringify(job)})`);
  } finally {
    await browser.close();
  }
}

const clients = {
  async ws() {
    const {WebSocket} = await import("ws");
    return converse(url => new WebSocket(url, {perMessageDeflate: {threshold: 512, ...(job.window && {serverMaxWindowBits: job.window})}}), job);
  },
  async undici() {
    const {WebSocket} = await import("undici");
    return converse(url => new WebSocket(url), job);
  },
  chromium: inChromium,
};
console.log(JSON.stringify(await clients[job.client]()));
