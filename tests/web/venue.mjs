/** A pretended server and network for the tests of the client: everything happens on a clock that a test moves. */

export class Clock {
  #timers = new Map();
  #next = 1;

  constructor() {
    this.now = 0;
  }

  setTimeout(call, ms) {
    this.#timers.set(this.#next, { at: this.now + ms, call });
    return this.#next++;
  }

  clearTimeout(timer) {
    this.#timers.delete(timer);
  }

  get timers() {
    return this.#timers.size;
  }

  /** Asynchronous, so that promises have their turn in between. */
  async advance(ms) {
    const until = this.now + ms;
    for (;;) {
      await settled();
      let first = null;
      for (const [id, timer] of this.#timers)
        if (timer.at <= until && (first === null || timer.at < first.timer.at)) first = { id, timer };
      if (first === null) break;
      this.#timers.delete(first.id);
      this.now = Math.max(this.now, first.timer.at);
      first.timer.call();
    }
    this.now = until;
    await settled();
  }
}

async function settled() {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
}

/** The same numbers for the same seed. */
export function randomly(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `WebSocket` is what a client is given; `sockets` are those that it opened, the newest last. */
export class Venue {
  constructor() {
    this.clock = new Clock();
    this.sockets = [];
    this.accepts = true;
    this.answersPings = true;
    this.tokens = new Set(["good"]);
    this.authUnavailable = false;
    this.unknown = new Set(); // channels that are refused
    this.requests = [];
    this.rings = new Map(); // channel -> {epoch, events}
    this.books = new Map(); // channel -> {bids, asks, last, epoch}: Maps of price and quantity
    const venue = this;
    this.WebSocket = class {
      constructor(url) {
        this.url = url;
        this.readyState = 0;
        this.subscriptions = new Map();
        this.user = false;
        venue.sockets.push(this);
        venue.later(() => {
          if (this.readyState !== 0) return;
          if (!venue.accepts) {
            this.drop(1006);
            return;
          }
          this.readyState = 1;
          this.onopen();
        });
      }

      send(text) {
        venue.later(() => this.readyState === 1 && venue.take(this, JSON.parse(text)));
      }

      close(code) {
        this.closedWith = code;
        this.readyState = 3;
      }

      /** What the server does. */
      drop(code, reason = "") {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose({ code, reason });
      }

      tell(message) {
        const text = typeof message === "string" ? message : JSON.stringify(message);
        venue.later(() => this.readyState === 1 && this.onmessage({ data: text }));
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  later(call) {
    this.clock.setTimeout(call, 1);
  }

  options(more = {}) {
    return {
      WebSocket: this.WebSocket,
      now: () => this.clock.now,
      wallNow: () => this.clock.now,
      setTimeout: (call, ms) => this.clock.setTimeout(call, ms),
      clearTimeout: (timer) => this.clock.clearTimeout(timer),
      random: randomly(7),
      ...more,
    };
  }

  take(socket, request) {
    this.requests.push(request);
    const reply = (answer) => socket.tell({ ...answer, id: request.id });
    if (request.op === "ping") {
      if (this.answersPings) reply({ op: "pong", time: 1000 + this.clock.now });
    } else if (request.op === "auth") {
      if (this.authUnavailable) reply({ code: 9, msg: "login unavailable" });
      else if (!this.tokens.has(request.token)) reply({ code: 8, msg: "login refused: unknown token" });
      else {
        socket.user = true;
        reply({ result: true });
      }
    } else if (request.op === "subscribe") {
      this.subscribe(socket, request, reply);
    } else if (request.op === "unsubscribe") {
      socket.subscriptions.delete(request.channel);
      reply({ result: true });
    }
  }

  subscribe(socket, request, reply) {
    const names = request.channels ?? [request.channel];
    const wrong = names.find((name) => this.unknown.has(name));
    if (wrong !== undefined) {
      reply({ code: 4, msg: `invalid channel '${wrong}'` });
      return;
    }
    if (!socket.user && names.some((name) => name.startsWith("@"))) {
      reply({ code: 1, msg: "Not Auth" });
      return;
    }
    const numbered = request.seq === true || request.since !== undefined;
    for (const name of names) socket.subscriptions.set(name, { numbered, checksum: request.checksum === true });
    if (numbered && request.channel !== undefined) {
      const ring = this.ring(request.channel);
      const newest = { epoch: ring.epoch, seq: ring.first + ring.events.length - 1 };
      const { since } = request;
      const known =
        since !== undefined && since.epoch === ring.epoch && since.seq >= ring.first - 1 && since.seq <= newest.seq;
      reply({ result: true, ...newest, ...(since === undefined ? {} : { recovered: known }) });
      if (known) {
        ring.events.forEach((data, index) => {
          const seq = ring.first + index;
          if (seq > since.seq) socket.tell({ event: request.channel, data, seq, epoch: ring.epoch });
        });
      }
    } else {
      reply({ result: true });
    }
    for (const name of names) if (this.books.has(name)) socket.tell({ event: name, data: this.snapshot(name) });
  }

  // -- pushed channels

  ring(channel) {
    if (!this.rings.has(channel)) this.rings.set(channel, { epoch: this.clock.now + 1, first: 1, events: [] });
    return this.rings.get(channel);
  }

  publish(channel, data) {
    const ring = this.ring(channel);
    ring.events.push(data);
    const number = { seq: ring.first + ring.events.length - 1, epoch: ring.epoch };
    for (const socket of this.sockets) {
      const subscription = socket.readyState === 1 ? socket.subscriptions.get(channel) : undefined;
      if (subscription !== undefined) socket.tell({ event: channel, data, ...(subscription.numbered ? number : {}) });
    }
  }

  // -- books: the truth is kept in Maps, which is not how the client does it

  snapshot(channel) {
    const { bids, asks, last, epoch } = this.books.get(channel);
    const levels = (side, sign) => [...side].sort(([a], [b]) => sign * (Number(a) - Number(b)));
    return {
      type: "snapshot",
      bids: levels(bids, -1),
      asks: levels(asks, 1),
      first: last,
      last,
      prev: null,
      epoch,
      time: 1,
    };
  }

  /** Changes levels; `lose` gives sockets that never hear of it. */
  change(channel, bids, asks, { lose = () => false } = {}) {
    const book = this.books.get(channel);
    for (const [side, levels] of [
      [book.bids, bids],
      [book.asks, asks],
    ]) {
      for (const [price, quantity] of levels) {
        if (quantity === "0") side.delete(price);
        else side.set(price, quantity);
      }
    }
    const prev = book.last;
    book.last += 1;
    const data = { type: "update", bids, asks, first: book.last, last: book.last, prev, epoch: book.epoch, time: 1 };
    for (const socket of this.sockets) {
      if (socket.readyState === 1 && socket.subscriptions.has(channel) && !lose(socket))
        socket.tell({ event: channel, data });
    }
  }
}
