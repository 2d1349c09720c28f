// The types of usher.js. docs/CLIENTS.md tells how it is used.

/** Opens a connection that reopens itself. `url` may be relative to the page, and ws, wss, http or https. */
export function connect(url: string | URL, options?: Options): Connection;

/** What can be sent. */
export type Data = string | ArrayBuffer | ArrayBufferView;

export interface Options {
  /**
   * The token, or what gets one: called before the first connection, half a minute before the token's `exp`
   * if that can be read, and when the server no longer takes the one that is there. `renew` is true
   * if there was one before: then a new one is wanted. The same again, after a refusal, means that there is none.
   * If it fails, it is asked again, later; to give up, close the connection. Without a token, cookies count.
   */
  token?: string | ((wanted: { renew: boolean }) => string | null | undefined | Promise<string | null | undefined>);
  /** Exchange the token for a ticket before each connection: at this path of the server, or at /ticket if true. */
  ticket?: boolean | string | URL;
  /** The subprotocols to offer, besides the token. */
  protocols?: string | string[];
  /** Asks the other end, by `send` with an `id`, for something that will be confirmed: to find out whether the link is dead. */
  ask?: () => void;
  /** How many ms a connection may take to open, a token to come and a question to be answered: 10,000. */
  openTime?: number;
  /** How many ms a message with an id may wait to be confirmed: 8,000. */
  answerTime?: number;
  /** After how many ms without a message `ask` is called while the page is visible: 60,000. */
  idleTime?: number;
  /** How many bytes may wait to be sent or confirmed, UTF-16 units for text, and 64 more for each message: 1 MiB. */
  maxHeld?: number;
  /** Another WebSocket than the global one: that of Node's ws, say. */
  WebSocket?: new (url: string, protocols: string[]) => any;
  /** Another fetch than the global one. */
  fetch?: typeof fetch;
}

export type State = "connecting" | "open" | "waiting" | "closed";

/**
 * Why a connection is not open. `lost`: it broke, or did not answer. `ended`: the other end has closed it.
 * `unreachable`: there was no answer. `refused`: `problem` says why. `token`: `error` says why there is none.
 * `closed`: by `close`.
 */
export type Reason = "" | "lost" | "ended" | "unreachable" | "refused" | "token" | "closed";

/** A refusal as RFC 9457 has it. `code` is the word of docs/CODES.md, "" if the answer was not usher's. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  /** What the answer has besides. */
  [extension: string]: unknown;
}

export class ConnectionEvent extends Event {}

export interface OpenEvent extends ConnectionEvent {
  /** The subprotocol that was agreed on. */
  readonly protocol: string;
}

export interface MessageEvent extends ConnectionEvent {
  readonly data: string | ArrayBuffer;
}

export interface StateEvent extends ConnectionEvent {
  readonly state: State;
  readonly reason: Reason;
  /** When the next attempt is, in ms since 1970; 0 unless the state is `waiting`. */
  readonly at: number;
  /** The close code, 0 if there was none. */
  readonly code: number;
  /** The first word of the close reason. */
  readonly word: string;
  readonly problem: Problem | null;
  readonly error: unknown;
}

export interface RefusedEvent extends ConnectionEvent {
  readonly problem: Problem;
  /** For how many ms the server wants us to stay away. */
  readonly wait: number;
  /** Whether it is the end: then `close` follows. */
  readonly final: boolean;
  /** 4401, 4403, 4404 or 4429 if the refusal came after the 101, else 0. */
  readonly code: number;
}

export interface UnsentEvent extends ConnectionEvent {
  /** What may not have arrived: messages with an id that were not confirmed, or that never left. */
  readonly messages: ReadonlyArray<{ readonly id?: string | number; readonly data: Data }>;
  /** `unanswered`: other messages were confirmed since. Otherwise why the connection ended. */
  readonly reason: Reason | "unanswered";
  readonly code: number;
}

export interface CloseEvent extends ConnectionEvent {
  readonly reason: Reason;
  readonly code: number;
  readonly word: string;
  readonly problem: Problem | null;
}

export interface ConnectionEvents {
  open: OpenEvent;
  message: MessageEvent;
  state: StateEvent;
  refused: RefusedEvent;
  unsent: UnsentEvent;
  close: CloseEvent;
}

/** A row of WebSockets to one address, of which one is open at a time. */
export class Connection extends EventTarget {
  constructor(url: string | URL, options?: Options);
  readonly state: State;
  /** The WebSocket while it is open, else null. */
  readonly socket: WebSocket | null;
  /** Comes back at once, however long it was to wait, and also after the end. Does nothing if it is open or about to be. */
  connect(): void;
  /** Ends the connection for good: with 1000, or 3000 to 4999. */
  close(code?: number, reason?: string): void;
  /**
   * Sends, or keeps for the next connection. False says that it did neither: the connection has ended, or holds too much.
   * With an id, the message is held until `confirm(id)`; on a connection that is lost before, it is sent again on the next
   * one if `resend` is true, and else told of by `unsent`.
   */
  send(data: Data, options?: { id?: string | number; resend?: boolean }): boolean;
  /** Says that the other end has answered the message. False says that there is none that waits for that. */
  confirm(id: string | number): boolean;

  addEventListener<K extends keyof ConnectionEvents>(
    type: K, listener: (this: Connection, event: ConnectionEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof ConnectionEvents>(
    type: K, listener: (this: Connection, event: ConnectionEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}
