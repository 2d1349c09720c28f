// Headless Chromium against a running usher:
// node chromium.mjs '{"browser":PATH,"page":URL,"echo":URL,"refused":URL,"chat":URL,"sizes":[N…]}'
// talks to it from a page's script, then lets two people chat on the page, and
// prints what it saw as one line of JSON.
import {chromium} from "playwright-core";
import {converse} from "./browser_like.mjs";

const job = JSON.parse(process.argv[2]);
const patience = 30_000;

// Each launch has a new, empty profile.
const browser = await chromium.launch({
  executablePath: job.browser,
  headless: true,
  timeout: patience,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

// person opens the page in a context of its own: no cookie or cache is shared.
async function person(name, password) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(patience);
  page.on("pageerror", error => { seen.errors.push(`${name}: ${error}`); });
  await page.goto(job.page);
  await page.fill("#username", name);
  await page.fill("#password", password);
  await page.click("#login");
  return page;
}

async function join(page, room) {
  await page.fill("#room", room);
  await page.click("#join");
  await page.waitForSelector("#send:enabled");
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.click("#send");
}

const shows = (page, selector, text) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector).textContent.includes(text), [selector, text]);

const lines = page => page.$$eval("#log > *", all => all.map(e => e.textContent));

const seen = {errors: []};
try {
  const page = await (await browser.newContext()).newPage();
  await page.goto(job.page);
  Object.assign(seen, await page.evaluate(`(${converse})(WebSocket, ${JSON.stringify(job)})`));

  const stranger = await person("alice", "wrong");
  await stranger.waitForFunction(() => /not logged in/i.test(document.querySelector("#status").textContent));
  seen.stranger = await stranger.isVisible("#join");

  const alice = await person("alice", "wonderland");
  await join(alice, "tea");
  const bob = await person("bob", "builder");
  await join(bob, "tea");
  await shows(alice, "#log", "Server: bob has joined the chat");
  await say(alice, "hello bob");
  await shows(bob, "#log", "alice: hello bob");
  await say(bob, "hello <b>alice</b>");
  await shows(alice, "#log", "bob: hello <b>alice</b>");
  await bob.close();
  await shows(alice, "#log", "Server: bob has left the chat");
  seen.alice = await lines(alice);
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
