// Headless Firefox by WebDriver BiDi against a running usher:
// node firefox.mjs '{"browser":PATH,"page":URL,"echo":URL,"refused":URL,"chat":URL,"sizes":[N…],"newest":N}'
// Alice and Bob meet on the page, and a page's script talks to usher; prints what was seen as
// one line of JSON. newest is the newest version of TLS, in Firefox's numbers: 3 is TLS 1.2.
import puppeteer from "puppeteer-core";
import {converse} from "../clients/browser_like.mjs";

const job = JSON.parse(process.argv[2]);
const patience = 3_600_000; // of a busy machine

const browser = await puppeteer.launch({
  browser: "firefox",
  protocol: "webDriverBiDi",
  executablePath: job.browser,
  headless: true,
  acceptInsecureCerts: true,
  timeout: patience,
  protocolTimeout: patience,
  extraPrefsFirefox: {"security.tls.version.max": job.newest},
});

// come opens the page as somebody with a browser of their own.
async function come() {
  const page = await (await browser.createBrowserContext()).newPage();
  page.setDefaultTimeout(patience);
  page.on("pageerror", error => {
    if (!/can’t establish a connection/.test(error)) seen.errors.push(String(error)); // which it says of each refusal
  });
  await page.goto(job.page);
  const fill = (selector, text) => page.$eval(selector, (e, text) => {
    e.value = text;
    e.dispatchEvent(new Event("input", {bubbles: true}));
  }, text);
  return {
    page,
    async sees(selector, words) {
      await page.waitForFunction((selector, words) => document.querySelector(selector)?.textContent.includes(words), {}, selector, words);
    },
    async logIn(user, password) {
      await page.waitForSelector("#username", {visible: true});
      await fill("#username", user);
      await fill("#password", password);
      await page.click("#login");
    },
    async join(room) {
      await page.waitForSelector("#room", {visible: true});
      await fill("#room", room);
      await page.click("#join");
    },
    async say(text) {
      await page.waitForSelector("#send:enabled");
      await page.type("#text", text);
      await page.click("#send");
    },
  };
}

const seen = {errors: [], page: []};
try {
  const alice = await come(), bob = await come();
  await alice.logIn("alice", "wrong");
  await alice.sees("#status", "Not logged in: No user has this name and password.");
  seen.page.push("log-in refused");
  await alice.logIn("alice", "wonderland");
  await alice.join("attic");
  await alice.sees("#status", "Not let in to attic: There is no room of this name.");
  seen.page.push("room refused");
  await alice.join("tea");
  await bob.logIn("bob", "builder");
  await bob.join("tea");
  await bob.say("hello alice");
  await alice.sees("#log", "bob: hello alice");
  await alice.say("hello bob");
  await bob.sees("#log", "alice: hello bob");
  seen.page.push("talked");
  Object.assign(seen, await bob.page.evaluate(`(${converse})(WebSocket, ${JSON.stringify(job)})`));
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
