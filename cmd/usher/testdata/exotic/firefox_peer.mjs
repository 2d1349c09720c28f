// A page with usher.js in a headless Firefox: node firefox_peer.mjs BROWSER URL.
// It is told what to do, and answers, as clients/usher_peer.mjs.
import {createInterface} from "node:readline";
import puppeteer from "puppeteer-core";

const patience = 3_600_000; // of a busy machine
const [executablePath, url] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox", protocol: "webDriverBiDi", executablePath, headless: true, timeout: patience, protocolTimeout: patience,
});
const page = await browser.newPage();
page.setDefaultTimeout(patience);
await page.goto(url);

const methods = {
  evaluate: expression => page.evaluate(expression),
  async until(expression) {
    while (!await page.evaluate(expression)) await new Promise(resolve => setTimeout(resolve, 20));
  },
};

for await (const line of createInterface({input: process.stdin})) {
  const {how, args} = JSON.parse(line);
  try {
    console.log(JSON.stringify({value: await methods[how](...args) ?? null}));
  } catch (error) {
    console.log(JSON.stringify({error: `${error.stack}`}));
  }
}
await browser.close();
