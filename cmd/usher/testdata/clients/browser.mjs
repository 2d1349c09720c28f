// A headless Chromium for all tests: node browser.mjs BROWSER
// It writes the address at which puppets.mjs finds it, and ends with its input.
import {chromium} from "playwright-core";

const server = await chromium.launchServer({
  executablePath: process.argv[2],
  headless: true,
  host: "127.0.0.1",
  timeout: 300_000,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
console.log(server.wsEndpoint());
process.stdin.on("end", () => server.close()).resume();
