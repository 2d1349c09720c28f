// A WebSocket that comes back: it asks why it was refused, waits as long as the server wants,
// renews the token, and keeps what is to be sent, or says that it may be lost. It knows nothing of
// what is said over it. It needs nothing else, and runs in browsers, workers and Node. usher.d.ts has the types, docs/CLIENTS.md the rest.
//
// MIT License, Copyright (c) 2026 The usher authors

const first = 1000, cap = 30_000;  // ms: the span of the first random wait, and of the longest
const lasting = 5000;              // ms: a connection that was open for longer begins a new row of waits
const early = 30_000;              // ms: a token is renewed so long before its exp
const longest = 2 ** 31 - 1;       // ms: a timer that is set to more rings at once
const overhead = 64;               // bytes: what a message takes that is held, besides its own

// Close codes after which to come back would bring the same again, unless the reason says when.
const final = new Set([1000, 1002, 1003, 1007, 1008, 1010]);
const timeouts = new Set(["idle_timeout", "message_timeout"]); // and these are 1008, too
const refusals = new Set([4401, 4403, 4404, 4429]);            // an HTTP status, said after the 101

const now = () => performance.now();

/** connect opens a connection that reopens itself. */
export function connect(url, options) {
  return new Connection(url, options);
}

/** ConnectionEvent is what listeners of a Connection get. */
export class ConnectionEvent extends Event {
  constructor(type, fields) {
    super(type);
    Object.assign(this, fields);
  }
}

/** Connection is a row of WebSockets to one address, of which one is open at a time. */
export class Connection extends EventTarget {
  #url;
  #options;
  #state = "closed";
  #turn = 0;        // grows with every state: what was begun in another has no say any more
  #socket = null;   // dialled or open
  #abort = null;    // of the attempt
  #timer = 0;       // of the attempt, or until the next one
  #earliest = 0;    // when the server lets us come back
  #attempts = 0;    // since the last connection that lasted
  #opened = 0;
  #ears = null;     // ends listening to the page

  #token = null;
  #shown = null;    // the token of the last attempt
  #expired = null;  // the refusal of #token
  #renewed = false; // since the last connection that lasted
  #ahead = 0;       // a timer that renews the token before its end

  #queue = [];           // {data, size, id, resend}: waits for a connection
  #pending = new Map();  // id -> the same and n, since: sent on this connection, and not confirmed
  #ids = new Set();      // of both
  #held = 0;             // their size
  #sent = 0;             // how many were sent to be confirmed
  #proven = 0;           // the last of those that was confirmed
  #heard = 0;
  #nudged = 0;
  #watching = 0;
  #watched = 0;
  #idling = 0;

  constructor(url, {
    token, ticket = false, protocols = [], ask, openTime = 10_000, answerTime = 8000, idleTime = 60_000, maxHeld = 1 << 20,
    WebSocket = globalThis.WebSocket, fetch = globalThis.fetch,
  } = {}) {
    super();
    this.#options = {token, ticket, protocols, ask, openTime, answerTime, idleTime, maxHeld, WebSocket, fetch: (...args) => fetch(...args)};
    this.#url = new URL(url, globalThis.location?.href);
    this.#url.hash = "";
    if (!WebSocket) throw new TypeError("usher: there is no WebSocket here: give one as options.WebSocket");
    this.connect();
  }

  get state() { return this.#state; }

  /** The WebSocket while it is open, else null. */
  get socket() { return this.#state === "open" ? this.#socket : null; }

  /** connect comes back at once, however long it was to wait, and also after the end. */
  connect() {
    if (this.#state === "connecting" || this.#state === "open") return;
    if (this.#state === "closed") {
      this.#attempts = 0;
      this.#renewed = false;
    }
    this.#begin();
  }

  /** close ends the connection for good. */
  close(code = 1000, reason = "") {
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) throw new RangeError(`usher: a page cannot close with ${code}: want 1000 or 3000 to 4999`);
    if (new TextEncoder().encode(reason).length > 123) throw new RangeError("usher: a close reason has 123 bytes at most");
    if (this.#state !== "closed") this.#finish({reason: "closed", code, word: reason});
  }

  /** send sends, or keeps for the next connection. false says that it did neither. */
  send(data, {id, resend = false} = {}) {
    const bytes = data.byteLength ?? data.length;
    if (typeof bytes !== "number") throw new TypeError("usher: what is sent is a string, an ArrayBuffer or a view of one");
    if (this.#ids.has(id)) throw new Error(`usher: there is a message ${id} that is not confirmed yet`);
    if (this.#state === "closed") return false;
    const isOpen = this.socket?.readyState === 1;
    if (isOpen && id === undefined) {
      this.#socket.send(data);
      return true;
    }
    const size = overhead + bytes;
    if (this.#held + size > this.#options.maxHeld) return false;
    this.#held += size;
    if (id !== undefined) this.#ids.add(id);
    const message = {data, size, id, resend};
    if (isOpen) this.#transmit(message);
    else this.#queue.push(message);
    return true;
  }

  /** confirm says that the other end has answered the message with this id. */
  confirm(id) {
    const message = this.#pending.get(id);
    if (!message) return false;
    this.#proven = Math.max(this.#proven, message.n);
    this.#forget(message);
    return true;
  }

  /* From one state to the next. */

  // settle enters a state and tells of it. What a listener does may lead on to another one, which
  // it has then told of: the rest is left out, and settle returns false.
  #settle(state, ...events) {
    const turn = ++this.#turn;
    this.#state = state;
    for (const [type, fields] of events) {
      if (turn !== this.#turn) return false;
      this.dispatchEvent(new ConnectionEvent(type, fields));
    }
    return turn === this.#turn;
  }

  #entered(state, fields) {
    return ["state", {state, reason: "", at: 0, code: 0, word: "", problem: null, error: null, ...fields}];
  }

  // release lets go of all that belongs to the state that ends.
  #release(code, reason) {
    clearTimeout(this.#timer);
    clearTimeout(this.#ahead);
    clearInterval(this.#watching);
    clearInterval(this.#idling);
    const socket = this.#socket, abort = this.#abort;
    this.#watching = 0;
    this.#socket = this.#abort = null;
    abort?.abort();
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null; // and onerror stays: Node's ws would throw
    socket.close(code, reason);
  }

  #begin(...events) {
    this.#release();
    this.#listen();
    const signal = this.#hurry();
    if (this.#settle("connecting", ...events, this.#entered("connecting"))) this.#attempt(this.#turn, signal);
  }

  // hurry returns the signal that ends what takes longer than openTime.
  #hurry() {
    const abort = this.#abort = new AbortController();
    this.#timer = setTimeout(() => abort.abort(), this.#options.openTime);
    return abort.signal;
  }

  // again comes back later: not before wait ms, and then at a random moment of a span that doubles
  // with every attempt, so that clients do not all come at once.
  #again(fields, wait = 0, ...events) {
    this.#release();
    const span = Math.min(cap, first * 2 ** this.#attempts++);
    const delay = Math.min(wait + Math.random() * span, longest);
    this.#earliest = now() + wait;
    this.#timer = setTimeout(() => this.#begin(), delay);
    this.#settle("waiting", ...events, this.#entered("waiting", {...fields, at: Date.now() + delay}));
  }

  #finish(fields, ...events) {
    const ours = fields.reason === "closed";
    this.#release(ours ? fields.code : undefined, ours ? fields.word : undefined);
    this.#ears?.abort();
    this.#ears = null;
    const unsent = this.#unsent([...this.#pending.values(), ...this.#queue], fields);
    this.#queue = [];
    this.#settle("closed", ...unsent, ...events, this.#entered("closed", fields), ["close", {code: 0, word: "", problem: null, ...fields}]);
  }

  /* An attempt. */

  async #attempt(turn, signal) {
    const isOver = () => turn !== this.#turn;
    let reason = "token";
    try {
      await null; // the caller of connect adds its listeners first
      const refusal = isOver() ? null : await this.#renew(signal);
      if (isOver()) return;
      if (refusal) return this.#refuse(refusal);
      this.#shown = this.#token;
      reason = "unreachable";
      const url = this.#address("ws"), protocols = [this.#options.protocols].flat();
      if (this.#options.ticket) {
        const answer = await this.#ask(this.#ticketAt(), {method: "POST"}, signal);
        const problem = answer.ok ? null : await problemOf(answer);
        const {ticket} = problem ? {} : await answer.json();
        if (isOver()) return;
        if (problem) return this.#refuse(problem, waitOf(answer));
        if (typeof ticket !== "string") throw new TypeError("usher: the answer has no ticket in it");
        url.searchParams.set("ticket", ticket);
      } else if (this.#token) {
        protocols.unshift("bearer", this.#token);
      }
      this.#dial(url, protocols, signal);
    } catch (error) {
      if (!isOver()) this.#again({reason, error});
    }
  }

  // renew gets a token if there is none, or if the one that is there is no longer good. Where
  // there is no better one, it returns the refusal of that.
  async #renew(signal, force = false) {
    const {token} = this.#options, before = this.#token;
    if (token === undefined) return null;
    const expired = this.#expired;
    if (!force && !expired && before !== null && expiry(before) - Date.now() > early) return null;
    const given = typeof token === "function" ? token({renew: before !== null}) : token;
    const after = (signal ? await within(signal, given) : await given) || "";
    if (expired && after === before) return expired;
    this.#token = after;
    this.#expired = null;
    return null;
  }

  #address(scheme) {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
    return url;
  }

  #ticketAt() {
    const {ticket} = this.#options;
    return new URL(ticket === true ? "/ticket" : ticket, this.#address("http"));
  }

  // ask asks as the upgrade would: with the token, or with cookies where there is none.
  #ask(url, init, signal) {
    const headers = {...init.headers, ...this.#token && {Authorization: `Bearer ${this.#token}`}};
    return this.#options.fetch(url, {...init, headers, signal, cache: "no-store", credentials: this.#token ? "same-origin" : "include"});
  }

  #dial(url, protocols, signal) {
    let socket;
    try {
      socket = new this.#options.WebSocket(url.href, protocols);
    } catch (error) { // nobody was asked
      const [status, code, detail] = protocols[0] === "bearer" ?
        [401, "token_invalid", "The token contains characters that no token can have."] : [400, "bad_request", error.message];
      return this.#refuse({type: "about:blank", title: error.name, status, detail, code});
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#open(socket);
    socket.onmessage = ({data}) => {
      this.#heard = now();
      this.dispatchEvent(new ConnectionEvent("message", {data}));
    };
    const fail = () => { if (socket === this.#socket && this.#state === "connecting") this.#probe(); };
    socket.onclose = event => this.#state === "open" ? this.#lost(event) : fail();
    socket.onerror = fail; // mostly a close follows; not in Node 20
    signal.addEventListener("abort", fail);
  }

  // probe asks why the upgrade was refused: a WebSocket does not tell.
  async #probe() {
    const turn = this.#turn;
    this.#release();
    const signal = this.#hurry();
    try {
      const answer = await this.#verdict(signal);
      const problem = answer.ok ? null : await problemOf(answer);
      if (turn !== this.#turn) return;
      if (problem) this.#refuse(problem, waitOf(answer));
      else this.#again({reason: "lost", code: 1006});
    } catch (error) {
      if (turn === this.#turn) this.#again({reason: "unreachable", error});
    }
  }

  // verdict asks for what the upgrade would be told. Before a page of another origin may send a token its
  // browser asks the server, and hides the answer if that is a refusal. It may be a 429 or 503, which the
  // server also tells without a token.
  async #verdict(signal) {
    const url = this.#address("http"), headers = {Accept: "application/problem+json"};
    try {
      return await this.#ask(url, {headers}, signal);
    } catch (error) {
      if (!this.#token || signal.aborted || (globalThis.location?.origin ?? url.origin) === url.origin) throw error;
      const answer = await this.#options.fetch(url, {headers, signal, cache: "no-store", credentials: "omit"});
      if (answer.status === 401) throw error;
      return answer;
    }
  }

  // refuse decides what a refusal means, before the 101 or, with a close code, after it.
  #refuse(problem, wait = 0, code = 0, ...events) {
    const {status} = problem, fields = {reason: "refused", problem, code};
    if (status === 401 && !this.#renewed && (typeof this.#options.token === "function" || code)) {
      this.#renewed = true;
      if (this.#token === this.#shown) this.#expired = problem; // else there is a newer one already
      return this.#begin(...events);
    }
    const passes = status === 408 || status === 425 || status === 429 || status >= 500;
    const told = ["refused", {problem, wait, final: !passes, code}];
    if (passes) this.#again(fields, wait, ...events, told);
    else this.#finish(fields, ...events, told);
  }

  #open(socket) {
    clearTimeout(this.#timer);
    this.#opened = this.#heard = now();
    const left = this.#token ? expiry(this.#token) - Date.now() - early : Infinity;
    if (left > 0 && left < longest) this.#ahead = setTimeout(() => this.#renew(null, true).catch(() => {}), left); // 4401 asks again
    const {ask, idleTime} = this.#options;
    if (ask) this.#idling = setInterval(() => { if (!isHidden() && now() - this.#heard > idleTime) this.#nudge(); }, idleTime / 4);
    if (!this.#settle("open", this.#entered("open"), ["open", {protocol: socket.protocol}])) return;
    while (this.#queue.length && this.socket?.readyState === 1) this.#transmit(this.#queue.shift());
  }

  // lost handles the end of a connection that was open.
  #lost({code, reason}) {
    if (now() - this.#opened > lasting) {
      this.#attempts = 0;
      this.#renewed = false;
    }
    const [, word, ms] = /^([^;]*)(?:; retry-after-ms=(\d+))?/.exec(reason);
    const wait = Number(ms ?? 0), fields = {reason: code === 1006 ? "lost" : "ended", code, word};
    const gone = [...this.#pending.values()];
    this.#queue.unshift(...gone.filter(({resend}) => resend));
    const told = this.#unsent(gone.filter(({resend}) => !resend), fields);
    this.#pending.clear();
    if (refusals.has(code)) this.#refuse({type: "about:blank", title: "", status: code - 4000, detail: "", code: word}, wait, code, ...told);
    else if (final.has(code) && ms === undefined && !timeouts.has(word)) this.#finish(fields, ...told);
    else this.#again(fields, wait, ...told);
  }

  /* What is sent until it is confirmed. A page gets no event when its link is dead: it only hears
     nothing any more. An answer to what it has sent is the only proof that the link is not. */

  #transmit(message) {
    if (message.id === undefined) {
      this.#forget(message);
      return this.#socket.send(message.data);
    }
    message.n = ++this.#sent;
    message.since = now();
    this.#pending.set(message.id, message);
    this.#socket.send(message.data);
    if (this.#watching) return;
    this.#watched = now();
    this.#watching = setInterval(() => this.#watch(), 500);
  }

  #forget(message) {
    this.#held -= message.size;
    this.#ids.delete(message.id);
    this.#pending.delete(message.id);
  }

  // unsent forgets messages, and returns the events that say so.
  #unsent(messages, {reason, code = 0}) {
    if (!messages.length) return [];
    for (const message of messages) this.#forget(message);
    return [["unsent", {messages: messages.map(({id, data}) => ({id, data})), reason, code}]];
  }

  // watch looks at what waits for an answer. If none comes, but something sent later was answered,
  // only that message was lost; otherwise the link is dead, where something could be asked to find
  // that out. Time in which the page did not run does not count.
  #watch() {
    const {answerTime, ask} = this.#options, time = now(), late = time - this.#watched - 500;
    this.#watched = time;
    for (const message of this.#pending.values()) {
      if (late > 1000) message.since += late;
      if (time - message.since < answerTime) continue;
      if (ask && message.n > this.#proven) return this.#lost({code: 1006, reason: ""});
      for (const [type, fields] of this.#unsent([message], {reason: "unanswered"})) this.dispatchEvent(new ConnectionEvent(type, fields));
      if (this.#state !== "open") return;
    }
    const oldest = [...this.#pending.values()].find(({n}) => n > this.#proven);
    if (oldest && time - oldest.since > answerTime / 2 && this.#nudged <= oldest.since) this.#nudge(true);
    if (!this.#pending.size) this.#watching = clearInterval(this.#watching) || 0;
  }

  // nudge has something asked, so that a dead link is noticed when nobody says anything.
  #nudge(anyway = false) {
    if (this.#pending.size && !anyway) return;
    this.#nudged = now();
    this.#options.ask?.();
  }

  /* What the page and its network do. */

  #listen() {
    if (this.#ears) return;
    const {signal} = this.#ears = new AbortController(), wake = event => this.#wake(event);
    for (const type of ["online", "offline", "pageshow"]) globalThis.addEventListener?.(type, wake, {signal});
    for (const type of ["visibilitychange", "resume"]) globalThis.document?.addEventListener(type, wake, {signal});
  }

  #wake({type}) {
    if (type === "visibilitychange" && isHidden()) return;
    if (this.#state === "open") this.#nudge();
    else if (this.#state === "waiting" && type !== "offline" && now() >= this.#earliest) this.#begin();
  }
}

const isHidden = () => globalThis.document?.hidden ?? false;

// within is a promise that fails when the signal does.
const within = (signal, promise) => new Promise((resolve, reject) => {
  signal.addEventListener("abort", () => reject(new Error("usher: the token did not come in time")));
  Promise.resolve(promise).then(resolve, reject);
});

// expiry is when a token ends, in ms, as far as it can be read. The server judges it.
function expiry(token) {
  try {
    const {exp} = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return typeof exp === "number" ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}

// problemOf reads a refusal: RFC 9457's document, or what the status says.
async function problemOf(answer) {
  let problem = null;
  try { problem = await answer.json(); } catch { /* not from usher */ }
  const text = (name, other = "") => typeof problem?.[name] === "string" ? problem[name] : other;
  const known = {type: text("type", "about:blank"), title: text("title", answer.statusText), status: answer.status, detail: text("detail"), code: text("code")};
  return {...typeof problem === "object" ? problem : {}, ...known};
}

// waitOf is for how many ms an answer wants us to stay away.
function waitOf(answer) {
  const after = answer.headers.get("Retry-After");
  const seconds = Number(after), ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(after) - Date.now();
  return Math.max(0, ms || 0);
}
