// Headless Chromium against a running usher:
// node chromium.mjs '{"browser":PATH,"page":URL,"echo":URL,"refused":URL,"chat":URL,"sizes":[N…]}'
// talks to it from a page's script, and prints what it saw as one line of JSON.
import {chromium} from "playwright-core";
import {converse} from "./browser_like.mjs";

const job = JSON.parse(process.argv[2]);
const patience = 300_000; // of a busy machine

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

const seen = {};
try {
  const page = await (await browser.newContext({ignoreHTTPSErrors: true})).newPage();
  page.setDefaultTimeout(patience);
  await page.goto(job.page);
  Object.assign(seen, await page.evaluate(`(${converse})(WebSocket, ${JSON.stringify(job)})`));
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
