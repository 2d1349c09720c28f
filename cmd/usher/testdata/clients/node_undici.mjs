// undici's WebSocket, the one that Node has built in, against a running usher:
// node node_undici.mjs '{"echo":URL,"refused":URL,"chat":URL,"sizes":[N…]}'
// prints what it saw as one line of JSON. It cannot ping, and learns of a
// refusal as little as a page.
import {WebSocket} from "undici";
import {converse} from "./browser_like.mjs";

console.log(JSON.stringify(await converse(WebSocket, JSON.parse(process.argv[2]))));
