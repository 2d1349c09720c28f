// People in a headless Chromium: node puppets.mjs ENDPOINT, where browser.mjs has one.
// Each line of standard input is {"who":NAME,"how":METHOD,"args":[…]} and is answered
// by a line {"value":…} or {"error":…}. Most methods are Playwright's of a page;
// the others are below. It ends with its input.
import {createInterface} from "node:readline";
import {chromium} from "playwright-core";

const patience = 300_000; // of a busy machine
const browser = await chromium.connect(process.argv[2], {timeout: patience});
const pages = new Map(), errors = [];

const methods = {
  // come opens the page in a context of its own: no cookie or cache is shared.
  async come(who, url, options) {
    const context = await browser.newContext({reducedMotion: "reduce", ...options});
    await context.addInitScript(listen);
    const page = await context.newPage();
    page.setDefaultTimeout(patience);
    page.on("pageerror", error => { errors.push(`${who}: ${error}`); });
    page.on("console", message => {
      if (message.text().includes("Content Security Policy")) errors.push(`${who}: ${message.text()}`);
    });
    pages.set(who, page);
    await page.goto(url);
  },
  leave: who => pages.get(who).context().close(),

  // sees waits until a selector's text has the words in it.
  sees: (who, selector, words) => pages.get(who).waitForFunction(
    ([selector, words]) => document.querySelector(selector)?.textContent.includes(words), [selector, words]).then(() => true),
  // told waits until the page has said the words, if only for a moment.
  told: (who, words) => pages.get(who).waitForFunction(words => window.told.some(text => text.includes(words)), words).then(() => true),
  // until waits until an expression is true. It is evaluated from outside: the page's policy
  // would not allow what waitForFunction does with a string.
  async until(who, expression) {
    for (const end = Date.now() + patience; !await pages.get(who).evaluate(expression);) {
      if (Date.now() > end) throw new Error("it did not become true");
      await pages.get(who).waitForTimeout(50);
    }
  },
  texts: (who, selector) => pages.get(who).$$eval(selector, all => all.map(e => e.textContent)),
  aria: who => pages.get(who).locator("body").ariaSnapshot(),
  key: (who, key) => pages.get(who).keyboard.press(key),
  type: (who, text) => pages.get(who).keyboard.insertText(text),
  contrast: (who, selector) => pages.get(who).$$eval(selector, contrast),
  sticksOut: who => pages.get(who).evaluate(sticksOut),
  errors: () => errors,
};

// listen, in the page, keeps all that its status has said.
function listen() {
  window.told = [];
  new MutationObserver(() => window.told.push(document.querySelector("#status")?.textContent ?? ""))
    .observe(document, {subtree: true, childList: true, characterData: true});
}

// sticksOut, in the page, returns what is wider than the window, and is not in
// something that scrolls or is cut off.
function sticksOut() {
  const contained = e => e && (getComputedStyle(e).overflowX !== "visible" || contained(e.parentElement));
  return [...document.querySelectorAll("body *")]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().right > innerWidth + 1 && !contained(e))
    .map(e => `${e.tagName} ${e.id} ${e.className}`);
}

// contrast, in the page, returns the least contrast of these elements' text with
// what is behind it, as WCAG 2.2 defines it, and where that is.
function contrast(elements) {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const luminance = (...colours) => {
    for (const colour of colours) { pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...pixel.getImageData(0, 0, 1, 1).data].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = {ratio: 21, where: ""};
  for (const e of elements.filter(e => e.checkVisibility() && !e.disabled)) {
    const behind = [];
    for (let at = e; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [dark, light] = [luminance(...behind), luminance(...behind, getComputedStyle(e).color)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < least.ratio) least = {ratio, where: `${e.tagName} ${e.id} ${e.className} ${e.textContent.slice(0, 20)}`};
  }
  return least;
}

for await (const line of createInterface({input: process.stdin})) {
  const {who, how, args} = JSON.parse(line);
  try {
    const value = await (methods[how] ? methods[how](who, ...args) : pages.get(who)[how](...args));
    console.log(JSON.stringify({value: value?.constructor === Object || typeof value !== "object" || Array.isArray(value) ? value : null}));
  } catch (error) {
    const now = pages.get(who) && await pages.get(who).innerText("body").catch(() => "");
    console.log(JSON.stringify({error: `${error}\n--- the page:\n${now}`}));
  }
}
await browser.close();
