// undici's fetch against POST /token: node node_login.mjs
// '{"url":URL,"attempts":[[NAME,PASSWORD]…],"flood":N}' makes the attempts and then the
// last of them N times more, as JSON, and prints the answers as one line of JSON.
import {fetch} from "undici";

const job = JSON.parse(process.argv[2]);
const seen = [];

async function login([username, password]) {
  const response = await fetch(job.url, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({username, password}),
  });
  const {code = "", token_type = ""} = await response.json();
  seen.push({status: response.status, code, token_type, later: response.headers.has("retry-after")});
}

for (const attempt of job.attempts) await login(attempt);
for (let n = 0; n < job.flood; n++) await login(job.attempts.at(-1));
console.log(JSON.stringify(seen));
