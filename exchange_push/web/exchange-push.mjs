/**
 * A client of exchange-push for browsers and Node: one connection that comes back by itself, with its login, its
 * subscriptions and its books. It depends on nothing but a WebSocket.
 *
 *     const client = new Client("wss://ex.example/exchange-stream");
 *     client.subscribe("BTCUSDT@ticker", (data) => console.log(data.last));
 *     client.connect();
 */

/** Close codes after which something must change before a next connection could go better. */
const FINAL = new Set([1002, 1003, 1007, 1009]);
/** Error codes of the server, as far as they matter here. */
const CODE = { notAuth: 1, tooManyRequests: 7, loginRefused: 8, loginUnavailable: 9 };
const CHECKSUM_LEVELS = 25;
const NAMES_AT_ONCE = 100; // in one request: a message has at most 64 KiB

export const DEFAULTS = Object.freeze({
  backoffMs: 500, // the first pause before coming back is at most this; each next one twice as long
  backoffMostMs: 30_000,
  stableMs: 10_000, // a connection that lasted so long begins the pauses anew
  firstPingMs: 1_000, // after the one at the start, which measures how busy a page is that is just loading
  pingMs: 5_000,
  pongMs: 15_000, // replies wait for a login that is being looked up, pongs too
  requestsPerS: 15, // the server takes 20 for long
  requestsBurst: 60, // and 100 at once
});

/** A message does not go with the book: there is a hole in the chain, or one of the two is wrong. */
export class Broken extends Error {}

/** Orders plain decimals ("50000.10") exactly: below 0, 0 or above 0, as for Array.sort. */
export function compareDecimals(a, b) {
  const difference = Number(a) - Number(b); // rounded, but never the wrong way round
  if (difference !== 0 || a === b) return difference;
  const [wholeA, partA] = halves(a);
  const [wholeB, partB] = halves(b);
  if (wholeA.length !== wholeB.length) return wholeA.length - wholeB.length;
  if (wholeA !== wholeB) return wholeA < wholeB ? -1 : 1;
  if (partA !== partB) return partA < partB ? -1 : 1;
  return 0;
}

function halves(text) {
  const [whole, part = ""] = text.split(".");
  return [whole.replace(/^0+/, ""), part.replace(/0+$/, "")];
}

/** JSON.parse, but integers that a JavaScript number cannot hold exactly become BigInts. */
export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  // Strings are matched whole, so that digits within them are left alone.
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `{"\\u0000int":"${token}"}` : token,
  );
  return JSON.parse(marked, (_, value) =>
    value !== null && typeof value === "object" && typeof value["\u0000int"] === "string"
      ? BigInt(value["\u0000int"])
      : value,
  );
}

/** One side of a book: [price, quantity] as text, best first. */
class Side {
  constructor(sign) {
    this.sign = sign; // 1: prices ascend
    this.levels = [];
  }

  load(levels) {
    this.levels = levels.filter(([, quantity]) => !isZero(quantity)).map(([price, quantity]) => [price, quantity]);
    this.levels.sort(([a], [b]) => this.sign * compareDecimals(a, b));
  }

  set([price, quantity]) {
    let low = 0;
    let high = this.levels.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.sign * compareDecimals(this.levels[middle][0], price) < 0) low = middle + 1;
      else high = middle;
    }
    const known = low < this.levels.length && compareDecimals(this.levels[low][0], price) === 0;
    if (isZero(quantity)) {
      if (known) this.levels.splice(low, 1);
    } else if (known) {
      this.levels[low] = [this.levels[low][0], quantity]; // under the text that it came with first
    } else {
      this.levels.splice(low, 0, [price, quantity]);
    }
  }
}

function isZero(quantity) {
  return /^[0.]*$/.test(quantity);
}

/**
 * The order book of one symbol, kept from the messages of `@depth`.
 *
 * `inSync`: its levels are those of the server as of update `last`. Otherwise they are the last that were known: a
 * snapshot is on its way, or there is no connection.
 */
export class Book {
  constructor() {
    this.inSync = false;
    this.last = null;
    this.epoch = null;
    this.time = null;
    this.sides = [new Side(-1), new Side(1)];
  }

  /** [price, quantity] as text, with the digits that the engine sent, best first. */
  bids(limit = Infinity) {
    return this.sides[0].levels.slice(0, limit);
  }

  asks(limit = Infinity) {
    return this.sides[1].levels.slice(0, limit);
  }

  /** Take in the data of an event. False: it is passed over, since a snapshot has to come first. Throws Broken. */
  apply(data) {
    const sent = [data.bids, data.asks];
    if (data.type === "snapshot") {
      this.sides.forEach((side, index) => side.load(sent[index]));
    } else if (!this.inSync) {
      return false;
    } else if (data.prev !== this.last || data.epoch !== this.epoch) {
      this.inSync = false;
      throw new Broken(
        `an update after ${data.prev} of epoch ${data.epoch}, expected ${this.last} of epoch ${this.epoch}`,
      );
    } else {
      this.sides.forEach((side, index) => sent[index].forEach((level) => side.set(level)));
    }
    ({ last: this.last, epoch: this.epoch, time: this.time } = data);
    this.inSync = true;
    if (data.checksum !== undefined && data.checksum !== this.checksum()) {
      this.inSync = false;
      throw new Broken(`the book's checksum is ${this.checksum()}, the server's ${data.checksum}`);
    }
    return true;
  }

  /** CRC32, signed, of the best 25 levels: bid and ask in turn. */
  checksum() {
    const parts = [];
    for (let index = 0; index < CHECKSUM_LEVELS; index += 1) {
      for (const side of this.sides) {
        if (index < side.levels.length) parts.push(...side.levels[index]);
      }
    }
    return crc32(parts.join(":"));
  }
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(text) {
  let crc = -1;
  for (let index = 0; index < text.length; index += 1) {
    crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ text.charCodeAt(index)) & 0xff];
  }
  return ~crc;
}

/** What a client listens to; `close()` ends it. */
class Subscription {
  constructor(client, channel, take, { seq = channel.startsWith("@"), checksum = false, book = null } = {}) {
    this.client = client;
    this.channel = channel;
    this.take = take;
    this.numbered = seq;
    this.checksum = checksum;
    this.book = book;
    this.on = false; // did the server take it, on this connection?
    this.stale = false;
    this.number = null; // {epoch, seq} of the newest event, where it is numbered
    this.breaks = 0; // of the book, without an update in between
    this.asking = false; // for a snapshot
  }

  get isPrivate() {
    return this.channel.startsWith("@");
  }

  close() {
    this.client.unsubscribe(this);
  }
}

/**
 * Events, `on(name, listener)`, and what a listener gets:
 *
 *     connected    {}
 *     closed       {code, reason, againMs}      againMs null: it does not come back by itself
 *     loggedIn     {}
 *     loginFailed  {code, msg, again}           code null: there was no token to be had
 *     loggedOut    {reason}                     expired (it logs in again by itself), revoked or replaced
 *     subscribed   {channel}
 *     refused      {channel, code, msg}         the subscription is gone
 *     lost         {channel, after, now}        of a numbered channel: what came between is too long ago to be had
 *     skipped      {channel, count}             of a numbered channel: left out, since the client read too slowly
 *     gap          {channel, reason}            a book broke; a snapshot has been asked for
 *     stale        {channel, since}             the channel may be old
 *     live         {channel}                    it is up to date again
 *     latency      {ms}                         there and back, measured by each ping
 *     shutdown     {inMs}                       the server stops, and closes the connection within this time
 *     unasked      {message}                    what belongs to no subscription
 *
 * Options: those of DEFAULTS; `token`, a string or a function that gives one or a promise of one; and for tests
 * `WebSocket`, `now`, `wallNow`, `random`, `setTimeout`, `clearTimeout`.
 */
export class Client {
  #socket = null;
  #subscriptions = new Map();
  #listeners = new Map();
  #pending = new Map(); // id of a request -> what is done with its reply
  #waiting = []; // requests beyond what may be sent now
  #timers = new Set();
  #nextId = 1;
  #attempts = 0;
  #loginAttempts = 0;
  #refusals = 0; // on this connection: the third would close it
  #connectedAt = 0;
  #retry = null;
  #tokens = 0; // requests that may be sent now
  #tokensAt = 0;
  #login = 0; // counts logins begun: the answer of an older one is of no interest
  #pinged = null; // when, for as long as no pong came

  constructor(url, options = {}) {
    this.url = String(url);
    this.options = {
      WebSocket: globalThis.WebSocket,
      now: () => performance.now(),
      wallNow: Date.now,
      random: Math.random,
      setTimeout: (call, ms) => globalThis.setTimeout(call, ms),
      clearTimeout: (timer) => globalThis.clearTimeout(timer),
      ...DEFAULTS,
      ...options,
    };
    // The first of them, so that all others are told where they are stale.
    this.#subscriptions.set("system", new Subscription(this, "system", () => {}));
    this.token = options.token ?? null;
    /** `idle`, `connecting`, `open`, `waiting` (to come back) or `stopped` (it does not come back by itself). */
    this.state = "idle";
    this.loggedIn = false;
    this.latencyMs = null;
    /** What is to be added to `Date.now()` for the server's time. */
    this.clockOffsetMs = 0;
  }

  /** Hear of an event; the function that is returned ends it. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  #tell(name, detail = {}) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(detail);
  }

  // -- what one listens to

  /**
   * Listen to a channel; `take(data, message)` is called with each event. With `seq` the subscription is numbered, as
   * those of private channels are by themselves: after a reconnect it goes on where it was, or `lost` is told. There is
   * one subscription of a channel at a time.
   */
  subscribe(channel, take, options = {}) {
    if (this.#subscriptions.has(channel)) throw new Error(`${channel} is subscribed already`);
    const subscription = new Subscription(this, channel, take, options);
    this.#subscriptions.set(channel, subscription);
    this.#ask([subscription]);
    return subscription;
  }

  has(channel) {
    return this.#subscriptions.has(channel);
  }

  /** Keep the book of a symbol; `changed(book, data)` is called whenever it changed, or went out of sync. */
  book(symbol, changed, { checksum = true } = {}) {
    const book = new Book();
    return this.subscribe(`${symbol}@depth`, (data) => changed(book, data), { checksum, book });
  }

  unsubscribe(subscription) {
    if (this.#subscriptions.get(subscription.channel) !== subscription) return;
    this.#subscriptions.delete(subscription.channel);
    if (this.state === "open" && !(subscription.isPrivate && !this.loggedIn)) {
      this.#request({ op: "unsubscribe", channel: subscription.channel }, () => {});
    }
    subscription.on = false;
  }

  // -- the connection

  connect() {
    if (this.#socket !== null) return;
    this.#cancel(this.#retry);
    this.#retry = null;
    this.state = "connecting";
    const socket = new this.options.WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#received(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#socket === socket) this.#closed(code, reason);
    };
    socket.onerror = () => {}; // a close follows
  }

  /** Where it waits to come back, it does so now: the network is there again. */
  hurry() {
    if (this.state === "waiting") this.connect();
  }

  close() {
    const socket = this.#socket;
    this.#drop();
    this.#cancel(this.#retry);
    this.#retry = null;
    this.state = "stopped";
    if (socket !== null) {
      socket.close(1000);
      this.#tell("closed", { code: 1000, reason: "closed by the client", againMs: null });
    }
  }

  /** Log in, now and whenever the connection came back. */
  login(token) {
    this.token = token;
    this.#loginAttempts = 0;
    if (this.state === "open") this.#authenticate();
  }

  /** Forget the token and the private subscriptions. The server knows no logout, so the connection begins anew. */
  logout() {
    this.token = null;
    this.#login += 1;
    for (const subscription of [...this.#subscriptions.values()]) {
      if (subscription.isPrivate) this.#subscriptions.delete(subscription.channel);
    }
    if (this.#socket !== null) {
      this.#again(1000, "logged out", 0);
      this.connect();
    }
  }

  #opened(socket) {
    if (this.#socket !== socket) return;
    this.state = "open";
    this.#connectedAt = this.options.now();
    this.#refusals = 0;
    this.#tokens = this.options.requestsBurst;
    this.#tokensAt = this.options.now();
    this.#tell("connected");
    this.#ask([...this.#subscriptions.values()]);
    if (this.token !== null) this.#authenticate();
    this.#ping();
  }

  #closed(code, reason) {
    const final = (code >= 4500 && code <= 4999) || FINAL.has(code);
    if (this.state === "open" && this.options.now() - this.#connectedAt >= this.options.stableMs) this.#attempts = 0;
    const most = Math.min(this.options.backoffMostMs, this.options.backoffMs * 2 ** this.#attempts);
    this.#attempts += 1;
    // Anywhere up to the pause, so that clients who lost their server together do not come back together.
    this.#again(code, reason, final ? null : most * (0.1 + 0.9 * this.options.random()));
  }

  #again(code, reason, againMs) {
    const socket = this.#socket;
    this.#drop();
    if (socket !== null && socket.readyState <= 1) socket.close();
    this.state = againMs === null ? "stopped" : "waiting";
    if (againMs !== null) this.#retry = this.#later(againMs, () => this.connect());
    this.#tell("closed", { code, reason, againMs });
  }

  /** Forget what belongs to a connection. */
  #drop() {
    this.#socket = null;
    this.loggedIn = false;
    this.latencyMs = null;
    this.#pinged = null;
    this.#login += 1;
    this.#pending.clear();
    this.#waiting = [];
    for (const timer of [...this.#timers]) this.#cancel(timer);
    for (const subscription of this.#subscriptions.values()) {
      subscription.on = false;
      subscription.asking = false;
      if (subscription.book !== null) subscription.book.inSync = false;
    }
  }

  #later(ms, call) {
    const timer = this.options.setTimeout(() => {
      this.#timers.delete(timer);
      call();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #cancel(timer) {
    if (timer === null) return;
    this.#timers.delete(timer);
    this.options.clearTimeout(timer);
  }

  // -- requests

  /** Send a request as soon as the server takes one more; `done(reply)` is called with its answer. */
  #request(message, done) {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#pending.set(id, done);
    this.#waiting.push(JSON.stringify({ ...message, id }));
    if (this.#waiting.length === 1) this.#send();
  }

  #send() {
    const { now, requestsPerS, requestsBurst } = this.options;
    this.#tokens = Math.min(requestsBurst, this.#tokens + ((now() - this.#tokensAt) / 1000) * requestsPerS);
    this.#tokensAt = now();
    while (this.#waiting.length > 0 && this.#tokens >= 1) {
      this.#tokens -= 1;
      this.#socket.send(this.#waiting.shift());
    }
    if (this.#waiting.length > 0) this.#later(1000 / requestsPerS, () => this.#send());
  }

  /** Subscribe on the open connection: many at once where they ask for the same. */
  #ask(subscriptions) {
    if (this.state !== "open") return;
    const alike = new Map();
    for (const subscription of subscriptions) {
      if (subscription.isPrivate && !this.loggedIn) continue;
      const options = {};
      if (subscription.checksum) options.checksum = true;
      if (subscription.numbered) options.seq = true;
      if (subscription.number !== null) {
        this.#askOne(subscription, { ...options, since: subscription.number });
        continue;
      }
      const key = JSON.stringify(options);
      if (!alike.has(key)) alike.set(key, { options, group: [] });
      alike.get(key).group.push(subscription);
    }
    for (const { options, group } of alike.values()) {
      for (let first = 0; first < group.length; first += NAMES_AT_ONCE) {
        this.#askMany(group.slice(first, first + NAMES_AT_ONCE), options);
      }
    }
  }

  #askMany(group, options) {
    if (group.length === 1) {
      this.#askOne(group[0], options);
      return;
    }
    const channels = group.map(({ channel }) => channel);
    this.#request({ op: "subscribe", channels, ...options }, (reply) => {
      if (reply.code === CODE.tooManyRequests) {
        this.#later(1000, () => this.#askMany(group, options));
      } else if (reply.code !== undefined) {
        group.forEach((subscription) => this.#askOne(subscription, options)); // all or none: find who it was
      } else {
        group.forEach((subscription) => this.#taken(subscription, reply.channels?.[subscription.channel] ?? {}));
      }
    });
  }

  #askOne(subscription, options) {
    if (!this.#has(subscription)) return;
    this.#request({ op: "subscribe", channel: subscription.channel, ...options }, (reply) => {
      if (reply.code === undefined) {
        this.#taken(subscription, reply);
      } else if (reply.code === CODE.tooManyRequests) {
        this.#later(1000, () => this.#askOne(subscription, options));
      } else if (reply.code === CODE.notAuth) {
        // The login ended meanwhile; the next one asks again.
      } else if (this.#has(subscription)) {
        this.#subscriptions.delete(subscription.channel);
        this.#tell("refused", { channel: subscription.channel, code: reply.code, msg: reply.msg });
      }
    });
  }

  #has(subscription) {
    return this.#subscriptions.get(subscription.channel) === subscription;
  }

  #taken(subscription, reply) {
    if (!this.#has(subscription)) return;
    subscription.on = true;
    subscription.asking = false;
    subscription.stale = false; // else it is told again
    const after = subscription.number;
    if (subscription.numbered && reply.seq !== undefined) {
      const now = { epoch: reply.epoch, seq: reply.seq };
      if (reply.recovered !== true) {
        subscription.number = now;
        if (after !== null) this.#tell("lost", { channel: subscription.channel, after, now });
      }
    }
    this.#tell("subscribed", { channel: subscription.channel });
  }

  // -- login

  async #authenticate() {
    this.#login += 1;
    const login = this.#login;
    let token;
    try {
      token = typeof this.token === "function" ? await this.token() : this.token;
    } catch (error) {
      if (login === this.#login) this.#loginFailed(null, String(error?.message ?? error), true);
      return;
    }
    if (login !== this.#login || this.state !== "open") return;
    this.#request({ op: "auth", token }, (reply) => {
      if (login !== this.#login) return;
      if (reply.code !== undefined) {
        const refused = reply.code === CODE.loginRefused;
        if (refused) this.#refusals += 1;
        // What a function gave may have been too old by a moment.
        const renewed = refused && this.#refusals === 1 && typeof this.token === "function";
        const again = renewed || reply.code === CODE.loginUnavailable || reply.code === CODE.tooManyRequests;
        this.#loginFailed(reply.code, reply.msg, again);
        return;
      }
      this.loggedIn = true;
      this.#loginAttempts = 0;
      this.#ask([...this.#subscriptions.values()].filter(({ isPrivate, on }) => isPrivate && !on));
      this.#tell("loggedIn"); // who subscribes now asks by that
    });
  }

  #loginFailed(code, msg, again) {
    if (again) {
      const most = Math.min(this.options.backoffMostMs, this.options.backoffMs * 2 ** this.#loginAttempts);
      this.#loginAttempts += 1;
      const login = this.#login;
      this.#later(most * (0.1 + 0.9 * this.options.random()), () => {
        if (login === this.#login && this.token !== null) this.#authenticate();
      });
    } else if (typeof this.token === "string") {
      this.token = null; // it will not get better; a function is asked again on the next connection
    }
    this.#tell("loginFailed", { code, msg, again });
  }

  // -- what comes in

  #received(text) {
    let message;
    try {
      message = parse(text);
    } catch {
      this.#tell("unasked", { message: text }); // a back end may push any text
      return;
    }
    const done = message?.id === undefined ? undefined : this.#pending.get(message.id);
    if (done !== undefined && message.event === undefined) {
      this.#pending.delete(message.id);
      done(message);
    } else if (message?.event === "system") {
      this.#system(message.data);
    } else if (this.#subscriptions.get(message?.event)?.on) {
      this.#event(this.#subscriptions.get(message.event), message);
    } else {
      this.#tell("unasked", { message });
    }
  }

  #event(subscription, message) {
    if (subscription.numbered && message.seq !== undefined) {
      const before = subscription.number;
      subscription.number = { epoch: message.epoch, seq: message.seq };
      if (before !== null && before.epoch === message.epoch && message.seq > before.seq + 1) {
        this.#tell("skipped", { channel: subscription.channel, count: message.seq - before.seq - 1 });
      }
    }
    if (subscription.book === null) {
      subscription.take(message.data, message);
      return;
    }
    try {
      if (!subscription.book.apply(message.data)) return;
      if (message.data.type === "update") subscription.breaks = 0;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.#repair(subscription, error.message);
    }
    subscription.take(message.data, message);
  }

  /** Ask for a snapshot: at once, and ever more slowly where that does not help. */
  #repair(subscription, reason) {
    if (!subscription.asking) {
      subscription.asking = true;
      const pauseMs = subscription.breaks === 0 ? 0 : Math.min(30_000, 500 * 2 ** subscription.breaks);
      subscription.breaks += 1;
      const ask = () => this.#ask(this.#has(subscription) ? [subscription] : []);
      if (pauseMs === 0) ask();
      else this.#later(pauseMs, ask);
    }
    this.#tell("gap", { channel: subscription.channel, reason });
  }

  #system(data) {
    const subscription = this.#subscriptions.get(data.channel);
    if (data.type === "stale" || data.type === "live") {
      if (subscription !== undefined) subscription.stale = data.type === "stale";
      this.#tell(data.type, data);
    } else if (data.type === "logout") {
      this.loggedIn = false;
      for (const each of this.#subscriptions.values()) if (each.isPrivate) each.on = false;
      this.#tell("loggedOut", { reason: data.reason });
      if (data.reason === "expired" && this.token !== null) this.#authenticate();
    } else if (data.type === "shutdown") {
      this.#tell("shutdown", { inMs: data.inMs });
    }
  }

  #ping() {
    const sent = this.options.now();
    this.#pinged = sent;
    this.#request({ op: "ping" }, (reply) => {
      this.#pinged = null;
      if (reply.op !== "pong") return; // too many requests: the next one tells
      this.latencyMs = this.options.now() - sent;
      this.clockOffsetMs = Number(reply.time) + this.latencyMs / 2 - this.options.wallNow();
      this.#tell("latency", { ms: this.latencyMs });
    });
    this.#later(this.latencyMs === null ? this.options.firstPingMs : this.options.pingMs, () => this.#pingAgain());
  }

  #pingAgain() {
    if (this.#pinged === null) this.#ping();
    else if (this.options.now() - this.#pinged < this.options.pongMs) {
      this.#later(this.options.pingMs, () => this.#pingAgain());
    } else {
      this.#closed(1006, "no answer to a ping");
    }
  }
}
