// usher.js with a clock, a network and a server that the tests make up:
// node usher_unit.mjs FILE, where FILE is the module. It ends with 1 if a test fails.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";

const {connect} = await import(`data:text/javascript,${encodeURIComponent(readFileSync(process.argv[2], "utf8"))}`);
const soon = setImmediate;

/* The clock. */

let time = 0, timers = [], random = 0;
const start = Date.UTC(2026, 10, 28);
const set = again => (does, ms, ...args) => {
  const timer = {at: time + (ms > 2 ** 31 - 1 ? 1 : ms), does: () => does(...args), again: again && ms};
  timers.push(timer);
  return timer;
};
const unset = timer => { timers = timers.filter(other => other !== timer); };
Object.assign(globalThis, {setTimeout: set(false), setInterval: set(true), clearTimeout: unset, clearInterval: unset});
Date.now = () => start + time;
performance.now = () => time;
Math.random = () => random;

// settled waits until no promise goes on.
const settled = () => new Promise(resolve => soon(resolve));

// pass lets time pass.
async function pass(ms) {
  ms = Math.max(0, ms);
  await settled();
  for (const end = time + ms;;) {
    const next = timers.filter(({at}) => at <= end).sort((a, b) => a.at - b.at)[0];
    time = next ? Math.max(time, next.at) : end;
    if (!next) break;
    if (next.again) next.at += next.again;
    else unset(next);
    next.does();
    await settled();
  }
}

/* The page. */

const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
globalThis.document = Object.assign(new EventTarget(), {hidden: false});

/* The server. */

let sockets, answers, asked, all = [];

class Socket {
  constructor(url, protocols) {
    Object.assign(this, {url, protocols, readyState: 0, sent: []});
    sockets.push(this);
  }
  opens() { this.readyState = 1; this.onopen(); }
  says(data) { this.onmessage({data}); }
  send(data) { this.sent.push(data); }
  close(code) { this.readyState = 3; this.closedWith = code; }
  ends(code, reason = "") { this.readyState = 3; this.onclose?.({code, reason}); }
}

// fetch takes the next of answers: [status, headers, body], or a promise.
async function fetch(url, init) {
  asked.push({url: String(url), ...init});
  const answer = answers.shift();
  if (!answer) throw new TypeError("nobody is there");
  const [status, headers = {}, body = {}] = await answer;
  return new Response(JSON.stringify(body), {status, headers});
}

// visit connects, and follows what is told.
function visit(options = {}) {
  for (const before of all) before.close();
  [sockets, answers, asked, timers, random, time] = [[], [], [], [], 0, 0];
  const told = [], c = connect("ws://server.example/ws?a=b#c", {WebSocket: Socket, fetch, ...options});
  all = [c];
  for (const type of ["open", "message", "state", "refused", "unsent", "close"]) c.addEventListener(type, event => told.push({type, ...event}));
  const states = () => told.filter(({type}) => type === "state");
  return {c, told, states, last: () => states().at(-1), of: type => told.filter(event => event.type === type), wait: () => states().at(-1).at - Date.now()};
}

const last = () => sockets.at(-1);
const opened = async options => {
  const v = visit(options);
  await settled();
  last().opens();
  return v;
};
const jwt = claims => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;

/* When it comes back. */

test("the waits double up to a cap, and are random", async () => {
  for (const part of [0, 0.5, 0.999]) {
    const {wait, last: now, c} = visit();
    random = part;
    for (const span of [1, 2, 4, 8, 16, 30, 30, 30]) {
      await settled();
      last().ends(1006);
      await settled();
      assert.deepEqual([now().state, now().reason], ["waiting", "unreachable"]);
      assert.equal(wait(), span * 1000 * part);
      const before = sockets.length;
      if (part) await pass(wait() - 1);
      assert.equal(sockets.length, before, "it came too early");
      await pass(1);
      assert.equal(sockets.length, before + 1, "it did not come");
    }
    c.close();
    assert.equal(timers.length, 0, "timers are left");
  }
});

test("only a connection that has lasted begins a new row", async () => {
  const {wait} = visit();
  random = 0.5;
  for (const [lasts, want] of [[0, 500], [5000, 1000], [5001, 500], [100, 1000]]) {
    await settled();
    last().opens();
    await pass(lasts);
    last().ends(1006);
    assert.equal(wait(), want, `after ${lasts} ms`);
    await pass(wait());
  }
});

test("hints of the server are followed, and no event of the page overrules them", async () => {
  for (const [code, reason, want] of [
    [1001, "draining; retry-after-ms=7000", 7000], [1012, "restarting; retry-after-ms=1", 1], [1008, "messages_limit; retry-after-ms=90", 90],
    [4429, "too_many_requests; retry-after-ms=3000", 3000], [1013, "backlog", 0], [1005, "", 0], [1014, "upstream_lost", 0], [4000, "bye", 0],
    [1008, "idle_timeout", 0],
  ]) {
    const {wait, last: now, c} = await opened();
    random = 0.25;
    last().ends(code, reason);
    assert.deepEqual([now().state, now().code, now().word], ["waiting", code, code === 4429 ? "" : reason.split(";")[0]]);
    assert.equal(wait(), want + 250, reason);
    await pass(want - 1);
    page.dispatchEvent(new Event("online"));
    await settled();
    assert.equal(sockets.length, want > 0 ? 1 : 2, `${reason}: online`);
    c.connect(); // on purpose
    await settled();
    assert.equal(sockets.length, 2);
    c.close();
  }
});

test("these ends are the end", async () => {
  for (const [code, reason] of [[1000, ""], [1002, ""], [1003, "text messages only"], [1007, ""], [1008, "name_forbidden"], [1010, ""], [4403, "kicked"], [4404, ""]]) {
    const {told, last: now} = await opened();
    last().ends(code, reason);
    assert.deepEqual([now().state, now().code, told.at(-1).type], ["closed", code, "close"]);
    assert.equal(timers.length, 0);
  }
});

test("refusals: what is final, and how long the others take", async () => {
  for (const [status, after, want] of [
    [400], [401], [403], [404], [410], [426], [408, null, 0], [429, "3", 3000], [503, "1", 1000], [502, new Date(start + 9000).toUTCString(), 9000],
    [500, "soon", 0], [503, "-1", 0], [503, "99999999", 2 ** 31 - 1],
  ]) {
    const {of, wait, told, last: now} = visit();
    await settled();
    answers.push([status, after ? {"Retry-After": after} : {}, {title: "t", detail: "d", code: "c"}]);
    last().ends(1006);
    await settled();
    const [refused] = of("refused");
    assert.deepEqual(refused.problem, {type: "about:blank", title: "t", status, detail: "d", code: "c"});
    assert.equal(refused.final, want === undefined, `${status}`);
    assert.equal(now().problem, refused.problem);
    if (want === undefined) {
      assert.equal(told.at(-1).type, "close");
      continue;
    }
    assert.equal(wait(), want, `${status} ${after}`);
    await pass(want - 1);
    assert.equal(sockets.length, want ? 1 : 2);
  }
});

test("an answer that is nobody's is a refusal, too", async () => {
  for (const body of [null, "text", [1], {title: 7, detail: {}, code: 3, more: "x"}]) {
    const v = visit();
    await settled();
    answers.push([404, {}, body]);
    last().ends(1006);
    await settled();
    const {more, 0: first, ...problem} = v.of("refused")[0].problem;
    assert.deepEqual(problem, {type: "about:blank", title: "", status: 404, detail: "", code: ""});
  }
  const v = visit({token: "t", ticket: true});
  answers.push([200, {}, {}]);
  await settled();
  assert.deepEqual([v.last().reason, v.last().error.name, sockets.length], ["unreachable", "TypeError", 0]);
});

test("the probe asks as the upgrade did", async () => {
  visit({token: "t"});
  await settled();
  assert.deepEqual([last().url, last().protocols], ["ws://server.example/ws?a=b", ["bearer", "t"]]);
  last().ends(1006);
  await settled();
  const [{url, headers, credentials, method}] = asked;
  assert.deepEqual([url, headers, credentials, method], ["http://server.example/ws?a=b",
    {Accept: "application/problem+json", Authorization: "Bearer t"}, "same-origin", undefined]);
  const {last: now} = visit({protocols: "chat"});
  await settled();
  answers.push([200]);
  last().ends(1006);
  await settled();
  assert.deepEqual([last().protocols, asked[0].headers, asked[0].credentials], [["chat"], {Accept: "application/problem+json"}, "include"]);
  assert.deepEqual([now().state, now().reason], ["waiting", "lost"]);
});

test("a page of another origin is told of what comes before the token", async () => {
  for (const [status, want] of [[503, "refused"], [401, "unreachable"]]) {
    globalThis.location = new URL("http://other.example/");
    const v = visit({token: "t"});
    await settled();
    answers.push(Promise.reject(new TypeError("the preflight was refused")), [status, {"Retry-After": "4"}]);
    last().ends(1006);
    await settled();
    delete globalThis.location;
    assert.deepEqual([v.last().reason, asked[1].headers, asked[1].credentials], [want, {Accept: "application/problem+json"}, "omit"]);
  }
});

test("an error without a close is the end of an attempt, and of nothing else", async () => {
  const v = visit();
  await settled();
  answers.push([404]);
  const [socket] = sockets;
  socket.onerror();
  socket.onerror();
  await settled();
  assert.deepEqual([v.c.state, asked.length], ["closed", 1]);
  const w = await opened();
  last().onerror();
  assert.equal(w.c.state, "open");
});

test("what hangs is given up", async () => {
  const {last: now} = visit({openTime: 3000});
  await pass(2999);
  assert.equal(asked.length, 0);
  answers.push(new Promise(() => {}));
  await pass(1);
  assert.equal(asked.length, 1, "the upgrade hangs, and nobody asks why");
  assert.equal(sockets[0].readyState, 3);
  await pass(3000);
  assert.equal(asked[0].signal.aborted, true);
  const hangs = visit({token: () => new Promise(() => {}), openTime: 3000});
  await pass(3000);
  assert.deepEqual([hangs.states()[0].state, hangs.states()[0].reason], ["waiting", "token"]);
  assert.ok(now);
});

/* Tokens. */

test("a 401 renews the token once", async () => {
  const wanted = [];
  const v = visit({token: ({renew}) => { wanted.push(renew); return `t${wanted.length}`; }});
  await settled();
  answers.push([401], [401]);
  last().ends(1006);
  await settled();
  assert.deepEqual([last().protocols, wanted, v.of("refused").length], [["bearer", "t2"], [false, true], 0]);
  last().ends(1006);
  await settled();
  assert.equal(v.of("refused")[0].final, true);
  assert.equal(v.c.state, "closed");
  v.c.connect(); // a user has logged in again
  await settled();
  answers.push([401]);
  last().ends(1006);
  await settled();
  assert.equal(wanted.length, 3, "and then it may be renewed again");
});

test("the same token again is none", async () => {
  for (const token of ["fixed", async () => "fixed", () => null]) {
    const v = visit({token});
    await settled();
    answers.push([401, {}, {code: "token_expired"}]);
    last().ends(1006);
    await settled();
    assert.deepEqual([v.c.state, v.of("refused")[0].problem.code, sockets.length], ["closed", "token_expired", 1]);
  }
});

test("4401 renews and comes back at once", async () => {
  let n = 0;
  const v = await opened({token: () => `t${++n}`});
  await pass(6000);
  last().ends(4401, "token_expired");
  await settled();
  assert.deepEqual([last().protocols, v.states().map(({state}) => state)], [["bearer", "t2"], ["open", "connecting"]]);
  last().opens();
  last().ends(4401, "token_expired"); // t2 is no good either
  assert.deepEqual([v.c.state, v.of("refused")[0].code, v.of("refused")[0].problem.status], ["closed", 4401, 401]);
  const cookie = await opened(); // may have been renewed elsewhere
  last().ends(4401, "token_expired");
  await settled();
  assert.equal(sockets.length, 2);
  answers.push([401]);
  last().ends(1006);
  await settled();
  assert.equal(cookie.c.state, "closed");
});

test("a token is renewed before its end", async () => {
  const tokens = [jwt({exp: start / 1000 + 100}), jwt({exp: start / 1000 + 500}), jwt({exp: start / 1000 + 900})];
  let n = 0;
  await opened({token: () => tokens[n++]});
  await pass(69_000);
  assert.equal(n, 1);
  await pass(1000);
  assert.equal(n, 2, "half a minute before");
  last().ends(4401, "token_expired"); // early, but the server's clock counts
  await settled();
  assert.deepEqual([last().protocols[1], n], [tokens[1], 2], "the new one is good, and not asked for again");
  n = 0;
  const late = visit({token: () => tokens[n++]});
  random = 0.5;
  await settled();
  last().ends(1006);
  await settled();
  await pass(late.wait());
  assert.equal(n, 1, "what is good is kept");
  time = 69_999; // and another second is too late
  last().ends(1006);
  await pass(2000);
  assert.equal(n, 2, "what ends soon is renewed before it is shown");
});

test("a token that cannot be had now is asked for again", async () => {
  let n = 0;
  const v = visit({token: () => { if (n++ < 2) throw new Error("no network"); return "t"; }});
  await settled();
  assert.deepEqual([v.last().reason, v.last().error.message], ["token", "no network"]);
  await pass(10);
  assert.equal(last().protocols[1], "t");
  const gone = visit({token: () => { gone.c.close(); return "t"; }});
  await settled();
  assert.deepEqual([gone.c.state, sockets.length], ["closed", 0]);
});

test("tickets keep the token out of the URL", async () => {
  const v = visit({token: "t", ticket: true});
  answers.push([200, {}, {ticket: "abc"}]);
  await settled();
  assert.deepEqual([asked[0].url, asked[0].method, asked[0].headers.Authorization], ["http://server.example/ticket", "POST", "Bearer t"]);
  assert.deepEqual([last().url, last().protocols], ["ws://server.example/ws?a=b&ticket=abc", []]);
  last().ends(1006);
  await settled();
  assert.equal(asked[1].headers.Authorization, "Bearer t", "the probe spends none");
  const below = visit({token: "t", ticket: "/chat/ticket"});
  answers.push([429, {"Retry-After": "2"}]);
  await settled();
  assert.deepEqual([asked[0].url, below.wait(), sockets.length], ["http://server.example/chat/ticket", 2000, 0]);
  v.c.close();
});

test("a token that is none is refused here", async () => {
  class Strict { constructor() { throw new SyntaxError("invalid"); } }
  for (const [options, status] of [[{token: "ä"}, 401], [{protocols: "ä"}, 400]]) {
    const v = visit({...options, WebSocket: Strict});
    await settled();
    assert.deepEqual([v.c.state, v.of("refused")[0].problem.status], ["closed", status]);
  }
});

/* Messages. */

test("what is said while there is no connection waits, in order and bounded", async () => {
  const v = visit({maxHeld: 3 * 65});
  assert.deepEqual(["a", "b", "c", "d"].map(text => v.c.send(text)), [true, true, true, false]);
  v.c.addEventListener("open", () => v.c.send("first"));
  await settled();
  last().opens();
  assert.deepEqual(last().sent, ["first", "a", "b", "c"]);
  assert.equal(v.c.send("x".repeat(1000)), true, "what leaves at once is not held");
  last().readyState = 2; // it is being closed
  assert.equal(v.c.send("e"), true);
  last().ends(1006);
  await pass(1000);
  last().opens();
  assert.deepEqual(last().sent, ["first", "e"]);
  last().ends(1006);
  v.c.send("f");
  v.c.send(new Uint8Array(3), {id: 7});
  v.c.close();
  assert.deepEqual(v.of("unsent").map(({messages, reason}) => [messages, reason]), [[[{id: undefined, data: "f"}, {id: 7, data: new Uint8Array(3)}], "closed"]]);
  assert.equal(v.c.send("g"), false);
});

test("what is not confirmed is sent again or told", async () => {
  const v = await opened({maxHeld: 1000});
  for (const [id, resend] of [[1, false], [2, true], [3, false], [4, true]]) v.c.send(`m${id}`, {id, resend});
  assert.throws(() => v.c.send("twice", {id: 1}), /not confirmed/);
  assert.deepEqual([v.c.confirm(3), v.c.confirm(3), v.c.confirm("no")], [true, false, false]);
  last().ends(1009);
  v.c.send("later");
  assert.deepEqual(v.of("unsent").map(({messages, code}) => [messages, code]), [[[{id: 1, data: "m1"}], 1009]]);
  await pass(1000);
  last().opens();
  assert.deepEqual(last().sent, ["m2", "m4", "later"]);
  v.c.confirm(2);
  v.c.confirm(4);
  assert.equal(v.c.send("x".repeat(930), {id: 5}), true, "all room is there again");
});

test("one answer that is late is told, and the link is dead if none comes", async () => {
  let n = 100;
  const v = await opened({ask: () => v.c.send("ask", {id: n++})});
  v.c.send("lost", {id: 1});
  await pass(4500);
  assert.deepEqual(last().sent, ["lost", "ask"]);
  v.c.confirm(100);
  await pass(4000);
  assert.deepEqual(v.of("unsent").map(({messages, reason}) => [messages[0].id, reason]), [[1, "unanswered"]]);
  assert.equal(v.c.state, "open");
  page.dispatchEvent(new Event("online"));
  assert.deepEqual(last().sent, ["lost", "ask", "ask"]);
  await pass(8500);
  const [, ended] = v.states();
  assert.deepEqual([ended.state, ended.reason, sockets[0].readyState], ["waiting", "lost", 3]);
});

test("silence is asked about, unless nobody looks", async () => {
  const v = await opened({ask: () => v.c.send("ask", {id: time})});
  document.hidden = true;
  await pass(200_000);
  assert.equal(last().sent.length, 0);
  document.hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(last().sent.length, 1);
  v.c.confirm(time);
  last().says("hello");
  await pass(59_000);
  assert.equal(last().sent.length, 1);
  await pass(20_000);
  assert.equal(sockets[0].sent[1], "ask");
});

test("without ask a late answer is no dead link", async () => {
  const v = await opened();
  v.c.send("slow", {id: 1});
  await pass(9000);
  assert.deepEqual([v.c.state, v.of("unsent")[0].reason], ["open", "unanswered"]);
});

test("time in which the page did not run is not the link's", async () => {
  const v = await opened({ask() {}});
  v.c.send("x", {id: 1});
  await pass(1000);
  time += 3_600_000; // asleep
  for (const timer of timers) timer.at = Math.max(timer.at, time);
  await pass(600);
  assert.equal(v.c.state, "open");
  await pass(9000);
  assert.equal(v.states()[1].state, "waiting");
});

/* What listeners do. */

test("a listener may close at any moment, and nothing follows", async () => {
  for (const type of ["open", "message", "state", "refused", "unsent"]) {
    const v = await opened();
    if (type === "open" || type === "state") {
      last().ends(1006);
      await pass(0);
    }
    v.c.addEventListener(type, () => v.c.close());
    if (type === "open" || type === "state") last()?.opens?.();
    if (type === "message") last().says("x");
    if (type === "refused") last().ends(4429, "x; retry-after-ms=1");
    if (type === "unsent") {
      v.c.send("x", {id: 1});
      last().ends(1006);
    }
    await pass(60_000);
    assert.deepEqual([v.c.state, v.told.at(-1).type, v.last().state, timers.length], ["closed", "close", "closed", 0], type);
    page.dispatchEvent(new Event("online"));
    document.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.equal(v.c.state, "closed", `${type}: the page wakes up`);
  }
});

test("whoever closes before the first attempt is never seen", async () => {
  const v = visit();
  v.c.close(4000, "bye");
  assert.throws(() => v.c.close(1001), RangeError);
  assert.throws(() => v.c.close(1000, "é".repeat(62)), RangeError);
  assert.throws(() => v.c.send({}), TypeError);
  await settled();
  assert.equal(sockets.length, 0);
  v.c.connect();
  v.c.connect();
  await settled();
  assert.equal(sockets.length, 1);
  v.c.close();
  assert.equal(last().closedWith, 1000);
});

test("waking up comes back at once where only chance had it wait", async () => {
  const v = visit();
  random = 0.9;
  for (let k = 1; k <= 3; k++) {
    await settled();
    last().ends(1006);
    await settled();
    page.dispatchEvent(new Event("offline"));
    await settled();
    assert.equal(sockets.length, k);
    document.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.equal(sockets.length, k + 1);
  }
  v.c.close();
});
