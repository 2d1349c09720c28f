// usher.d.ts, as those that write TypeScript use it. It is only compiled.
import {connect, Connection, type Problem} from "../../../../chat/usher.js";

const link: Connection = connect("/ws/lobby", {
  token: async ({renew}) => (await fetch("/token", {cache: renew ? "reload" : "default"})).text(),
  ticket: true,
  protocols: ["chat.usher.v1+json"],
  ask: () => { link.send("?", {id: 1}); },
});
connect(new URL("wss://chat.example/ws"), {token: "abc", protocols: "chat", fetch, WebSocket, maxHeld: 1});
connect("/ws", {token: () => null});

link.addEventListener("open", ({protocol}) => { const text: string = protocol; link.send(text); });
link.addEventListener("message", ({data}) => { const text: string | ArrayBuffer = data; link.send(text); });
link.addEventListener("state", event => {
  if (event.state === "waiting") console.log(event.reason, new Date(event.at), event.code, event.word, event.error);
  const problem: Problem | null = event.problem;
  console.log(problem?.code);
}, {once: true});
link.addEventListener("refused", ({problem, wait, final, code}) => console.log(problem.status + wait + code, final));
link.addEventListener("unsent", ({messages, reason}) => { for (const {id, data} of messages) console.log(id, data, reason === "unanswered"); });
link.addEventListener("close", ({code, word, reason, problem}) => console.log(code, word, reason, problem));
const kept: boolean = link.send(new Uint8Array(3), {id: "a", resend: true});
const known: boolean = link.confirm("a");
console.log(kept, known, link.state === "open", link.socket?.bufferedAmount);
link.connect();
link.close(4000, "bye");

// @ts-expect-error: no such event
link.addEventListener("opened", ({protocol}) => protocol);
// @ts-expect-error: no such state
console.log(link.state === "opened");
// @ts-expect-error: an object is not sent
link.send({});
// @ts-expect-error: no such option
connect("/ws", {tokens: "abc"});
// @ts-expect-error: it is read only
link.state = "open";
