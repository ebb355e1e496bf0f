/** The JavaScript client against a pretended server, on a clock of the test's own. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Book, Broken, Client, DEFAULTS, compareDecimals, parse } from "../../exchange_push/web/exchange-push.mjs";
import { Venue, randomly } from "./venue.mjs";

function heard(client, ...names) {
  const events = [];
  for (const name of names) client.on(name, (detail) => events.push([name, detail]));
  return events;
}

async function connected(venue, options = {}) {
  const client = new Client("ws://there/exchange-stream", venue.options(options));
  client.connect();
  await venue.clock.advance(10);
  return client;
}

function addBook(venue, channel = "X@depth") {
  venue.books.set(channel, { bids: new Map([["10.0", "1"]]), asks: new Map([["11.0", "2"]]), last: 5, epoch: 1 });
}

test("decimals are ordered as numbers, exactly", () => {
  const sorted = [
    "0.1",
    "0.10000000000000000001",
    "9",
    "9.5",
    "10",
    "10.05",
    "10.1",
    "99999999999999999998",
    "99999999999999999999",
  ];
  const random = randomly(1);
  for (let round = 0; round < 50; round += 1) {
    const mixed = [...sorted].sort(() => random() - 0.5);
    assert.deepEqual(mixed.sort(compareDecimals), sorted);
  }
  assert.equal(compareDecimals("7.60", "007.6000"), 0);
});

test("integers that a number cannot hold come as BigInts, digits in texts stay", () => {
  const text =
    '{"a":9007199254740993,"b":[-12345678901234567890,1.5,12345678901234567.5],"c":"x:9007199254740993,\\"9007199254740993","d":1700000000000}';
  assert.deepEqual(parse(text), {
    a: 9007199254740993n,
    b: [-12345678901234567890n, 1.5, 12345678901234567.5],
    c: 'x:9007199254740993,"9007199254740993',
    d: 1700000000000,
  });
  assert.deepEqual(parse('{"a":1}'), { a: 1 });
});

test("a book has the checksum of the protocol's example", () => {
  const book = new Book();
  const bids = [
    ["50000.5", "1.20000000"],
    ["50000.0", "0.05000000"],
  ];
  assert.ok(
    book.apply({
      type: "snapshot",
      bids,
      asks: [["50001.0", "2.00000000"]],
      last: 1,
      epoch: 1,
      time: 1,
      checksum: 573863928,
    }),
  );
  const update = {
    type: "update",
    bids: [["50000.0", "0"]],
    asks: [],
    prev: 1,
    last: 2,
    epoch: 1,
    time: 2,
    checksum: 573863928,
  };
  assert.throws(() => book.apply(update), Broken);
  assert.equal(book.inSync, false);
});

test("a book passes updates over until its snapshot, and breaks at a hole", () => {
  const book = new Book();
  const update = (prev, last, epoch = 1) => ({
    type: "update",
    bids: [["1", "1"]],
    asks: [],
    prev,
    last,
    epoch,
    time: 1,
  });
  assert.equal(book.apply(update(1, 2)), false);
  book.apply({
    type: "snapshot",
    bids: [
      ["3.0", "1"],
      ["2.0", "0"],
    ],
    asks: [["4", "1"]],
    prev: null,
    last: 2,
    epoch: 1,
    time: 1,
  });
  assert.deepEqual(book.bids(), [["3.0", "1"]]);
  assert.ok(book.apply(update(2, 3)));
  assert.throws(() => book.apply(update(4, 5)), /an update after 4 of epoch 1, expected 3 of epoch 1/);
  book.apply({ type: "snapshot", bids: [], asks: [], prev: null, last: 9, epoch: 2, time: 1 });
  assert.throws(() => book.apply(update(9, 10, 1)), Broken);
});

test("all that is subscribed is asked for in one request, system first, and again after a reconnect", async () => {
  const venue = new Venue();
  const client = new Client("ws://there", venue.options());
  const got = [];
  client.subscribe("A@trades", (data) => got.push(data));
  client.subscribe("B@trades", (data) => got.push(data));
  client.connect();
  await venue.clock.advance(10);
  venue.publish("A@trades", 1);
  await venue.clock.advance(10);
  venue.socket.drop(1001, "server stopping");
  assert.equal(client.state, "waiting");
  await venue.clock.advance(DEFAULTS.backoffMs + 10);
  venue.publish("B@trades", 2);
  await venue.clock.advance(10);

  assert.deepEqual(got, [1, 2]);
  const asked = venue.requests.filter(({ op }) => op === "subscribe").map(({ channels }) => channels);
  assert.deepEqual(asked, [
    ["system", "A@trades", "B@trades"],
    ["system", "A@trades", "B@trades"],
  ]);
});

test("one wrong channel does not cost the others", async () => {
  const venue = new Venue();
  venue.unknown.add("B@nothing");
  const client = new Client("ws://there", venue.options());
  const refused = heard(client, "refused");
  const got = [];
  for (const channel of ["A@trades", "B@nothing", "C@trades"]) client.subscribe(channel, (data) => got.push(data));
  client.connect();
  await venue.clock.advance(20);
  venue.publish("C@trades", 3);
  venue.publish("A@trades", 4);
  await venue.clock.advance(10);

  assert.deepEqual(got, [3, 4]);
  assert.deepEqual(refused, [["refused", { channel: "B@nothing", code: 4, msg: "invalid channel 'B@nothing'" }]]);
  assert.equal(client.has("B@nothing"), false);
});

test("pauses grow, are random, and begin anew after a connection that lasted", async () => {
  const venue = new Venue();
  const client = await connected(venue, { random: () => 1 });
  const closed = heard(client, "closed");
  venue.accepts = false;
  venue.socket.drop(1006);
  await venue.clock.advance(200_000);
  const delays = closed.map(([, { againMs }]) => againMs);
  assert.deepEqual(delays.slice(0, 8), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  venue.accepts = true;
  await venue.clock.advance(30_000 + DEFAULTS.stableMs);
  venue.socket.drop(1006);
  assert.equal(closed.at(-1)[1].againMs, 500);

  const other = await connected(venue, { random: () => 0 });
  const early = heard(other, "closed");
  venue.socket.drop(1006);
  assert.equal(early[0][1].againMs, 50);
});

test("after a final close code it does not come back by itself", async () => {
  for (const code of [4500, 4501, 4503, 4505, 1002, 1003, 1007, 1009]) {
    const venue = new Venue();
    const client = await connected(venue);
    venue.socket.drop(code, "why");
    await venue.clock.advance(100_000);
    assert.equal(client.state, "stopped");
    assert.equal(venue.sockets.length, 1);
    client.connect();
    await venue.clock.advance(10);
    assert.equal(client.state, "open");
  }
});

test("after other close codes it comes back", async () => {
  for (const code of [1000, 1001, 1006, 1011, 4008, 4013, 4029]) {
    const venue = new Venue();
    const client = await connected(venue);
    venue.socket.drop(code);
    await venue.clock.advance(1000);
    assert.equal(client.state, "open", String(code));
  }
});

test("closed by its user it is quiet: no timer is left, nothing is heard", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  client.subscribe("A@trades", () => assert.fail("heard after the close"));
  await venue.clock.advance(10);
  const socket = venue.socket;
  venue.publish("A@trades", 1);
  client.close();
  assert.equal(socket.closedWith, 1000);
  await venue.clock.advance(2);
  assert.equal(venue.clock.timers, 0);
  assert.equal(client.state, "stopped");
});

test("a server that answers no ping is left", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  assert.equal(client.latencyMs, 2);
  assert.equal(client.clockOffsetMs, 1000);
  venue.answersPings = false;
  const closed = heard(client, "closed");
  await venue.clock.advance(DEFAULTS.pingMs * 2 + DEFAULTS.pongMs);
  assert.equal(closed[0][1].reason, "no answer to a ping");
  assert.equal(venue.sockets[0].readyState, 3);
});

test("requests keep to the pace that the server takes", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const before = venue.requests.length;
  for (let number = 0; number < 200; number += 1) client.subscribe(`S${number}@trades`, () => {});
  await venue.clock.advance(100);
  assert.ok(venue.requests.length - before <= DEFAULTS.requestsBurst + 2);
  await venue.clock.advance(20_000);
  assert.equal(venue.socket.subscriptions.size, 201);
});

test("private channels are asked for after the login, and again after a reconnect", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const got = [];
  client.subscribe("@order", (data) => got.push(data));
  client.login("good");
  await venue.clock.advance(20);
  venue.publish("@order", 1);
  await venue.clock.advance(5);
  venue.socket.drop(1006);
  await venue.clock.advance(1000);
  venue.publish("@order", 2);
  await venue.clock.advance(5);
  assert.deepEqual(got, [1, 2]);
});

test("a refused token is not tried again, an unavailable login is", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const told = heard(client, "loginFailed", "loggedIn");
  client.login("bad");
  await venue.clock.advance(60_000);
  assert.deepEqual(told, [["loginFailed", { code: 8, msg: "login refused: unknown token", again: false }]]);
  told.length = 0;
  venue.authUnavailable = true;
  client.login("good");
  await venue.clock.advance(2000);
  assert.ok(told.length > 1 && told.every(([name, { again }]) => name === "loginFailed" && again));
  venue.authUnavailable = false;
  await venue.clock.advance(10_000);
  assert.equal(told.at(-1)[0], "loggedIn");
});

test("a function is asked a second time when its token is refused, then on the next connection", async () => {
  const venue = new Venue();
  let asked = 0;
  const client = new Client("ws://there", venue.options({ token: () => `bad ${(asked += 1)}` }));
  const told = heard(client, "loginFailed");
  client.connect();
  await venue.clock.advance(60_000);
  assert.deepEqual([asked, told.map(([, { again }]) => again)], [2, [true, false]]);
  venue.socket.drop(1006);
  await venue.clock.advance(60_000);
  assert.equal(asked, 4);
});

test("a token may come from a function, each time anew; of a late one nobody takes notice", async () => {
  const venue = new Venue();
  let asked = 0;
  let give = null;
  const client = new Client(
    "ws://there",
    venue.options({ token: () => new Promise((resolve) => ((asked += 1), (give = resolve))) }),
  );
  const told = heard(client, "loggedIn");
  client.connect();
  await venue.clock.advance(10);
  const late = give;
  venue.socket.drop(1006);
  await venue.clock.advance(1000);
  late("good");
  await venue.clock.advance(10);
  assert.equal(told.length, 0);
  give("good");
  await venue.clock.advance(10);
  assert.deepEqual([asked, told.length], [2, 1]);
});

test("a function without a token is asked again, and told of", async () => {
  const venue = new Venue();
  let asked = 0;
  const token = async () => {
    asked += 1;
    if (asked < 3) throw new Error("no network");
    return "good";
  };
  const client = new Client("ws://there", venue.options({ token }));
  const told = heard(client, "loginFailed", "loggedIn");
  client.connect();
  await venue.clock.advance(20_000);
  assert.deepEqual(
    told.map(([name, { msg }]) => [name, msg]),
    [
      ["loginFailed", "no network"],
      ["loginFailed", "no network"],
      ["loggedIn", undefined],
    ],
  );
});

test("an expired login is made anew, a revoked one is not", async () => {
  for (const [reason, again] of [
    ["expired", true],
    ["revoked", false],
    ["replaced", false],
  ]) {
    const venue = new Venue();
    const client = await connected(venue);
    const got = [];
    client.subscribe("@order", (data) => got.push(data));
    client.login("good");
    await venue.clock.advance(20);
    venue.socket.user = false;
    venue.socket.subscriptions.delete("@order");
    venue.socket.tell({ event: "system", data: { type: "logout", reason } });
    await venue.clock.advance(20);
    venue.publish("@order", 1);
    await venue.clock.advance(5);
    assert.equal(client.loggedIn, again, reason);
    assert.deepEqual(got, again ? [1] : []);
  }
});

test("a logout leaves the user behind and keeps what is public", async () => {
  const venue = new Venue();
  const client = await connected(venue, { token: "good" });
  const got = [];
  client.subscribe("@order", (data) => got.push(["order", data]));
  client.subscribe("A@trades", (data) => got.push(["trade", data]));
  await venue.clock.advance(20);
  client.logout();
  await venue.clock.advance(20);
  venue.publish("@order", 1);
  venue.publish("A@trades", 2);
  await venue.clock.advance(5);
  assert.deepEqual(got, [["trade", 2]]);
  assert.equal(client.loggedIn, false);
  assert.equal(client.has("@order"), false);
});

test("a numbered channel goes on where it was, in order and once", async () => {
  const venue = new Venue();
  const client = await connected(venue, { token: "good" });
  const got = [];
  const told = heard(client, "lost", "skipped");
  client.subscribe("@order", (data) => got.push(data), { seq: true });
  await venue.clock.advance(20);
  for (let number = 1; number <= 40; number += 1) {
    if (number % 7 === 3) venue.socket.drop(1006);
    venue.publish("@order", number);
    if (number % 7 === 5) await venue.clock.advance(2000);
    else await venue.clock.advance(3);
  }
  await venue.clock.advance(20_000);
  assert.deepEqual(
    got,
    Array.from({ length: 40 }, (_, index) => index + 1),
  );
  assert.deepEqual(told, []);
});

test("what is too long ago is told to be lost, what was left out to be skipped", async () => {
  const venue = new Venue();
  const client = await connected(venue, { token: "good" });
  const got = [];
  const told = heard(client, "lost", "skipped");
  client.subscribe("@order", (data) => got.push(data), { seq: true });
  await venue.clock.advance(20);
  venue.publish("@order", 1);
  await venue.clock.advance(5);
  const { epoch } = venue.ring("@order");
  venue.socket.drop(1006);
  venue.rings.set("@order", { epoch, first: 8, events: ["h", "i"] });
  await venue.clock.advance(1000);
  assert.deepEqual(told, [["lost", { channel: "@order", after: { epoch, seq: 1 }, now: { epoch, seq: 9 } }]]);
  venue.socket.tell({ event: "@order", data: "l", seq: 12, epoch });
  await venue.clock.advance(5);
  assert.deepEqual(told[1], ["skipped", { channel: "@order", count: 2 }]);
  assert.deepEqual(got, [1, "l"]);
});

test("stale and live are told, and who subscribed knows", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const told = heard(client, "stale", "live", "shutdown");
  const subscription = client.subscribe("A@trades", () => {});
  await venue.clock.advance(10);
  venue.socket.tell({ event: "system", data: { type: "stale", channel: "A@trades", since: 5 } });
  await venue.clock.advance(5);
  assert.equal(subscription.stale, true);
  venue.socket.tell({ event: "system", data: { type: "live", channel: "A@trades" } });
  venue.socket.tell({ event: "system", data: { type: "shutdown", inMs: 3000 } });
  await venue.clock.advance(5);
  assert.equal(subscription.stale, false);
  assert.deepEqual(
    told.map(([name, detail]) => [name, detail.channel ?? detail.inMs]),
    [
      ["stale", "A@trades"],
      ["live", "A@trades"],
      ["shutdown", 3000],
    ],
  );
});

test("what belongs to no subscription is told as it is", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const told = heard(client, "unasked");
  venue.socket.tell("no JSON");
  venue.socket.tell({ event: "other", data: 1 });
  venue.socket.tell({ code: 2, msg: "not JSON" });
  await venue.clock.advance(5);
  assert.deepEqual(
    told.map(([, { message }]) => message),
    ["no JSON", { event: "other", data: 1 }, { code: 2, msg: "not JSON" }],
  );
});

test("events of a subscription that was closed and made anew do not reach the new one before its time", async () => {
  const venue = new Venue();
  const client = await connected(venue);
  const first = client.subscribe("A@trades", () => assert.fail("closed"));
  await venue.clock.advance(10);
  const got = [];
  venue.publish("A@trades", "old");
  first.close();
  client.subscribe("A@trades", (data) => got.push(data));
  await venue.clock.advance(10);
  venue.publish("A@trades", "new");
  await venue.clock.advance(10);
  assert.deepEqual(got, ["new"]);
  assert.throws(() => client.subscribe("A@trades", () => {}), /subscribed already/);
});

test("a broken book asks for its snapshot, once at a time and ever more slowly", async () => {
  const venue = new Venue();
  addBook(venue);
  const client = await connected(venue);
  const gaps = heard(client, "gap");
  client.book("X", () => {}, { checksum: false });
  await venue.clock.advance(10);
  const wrong = () => {
    const book = venue.books.get("X@depth");
    venue.socket.tell({
      event: "X@depth",
      data: { type: "update", bids: [], asks: [], prev: -1, last: book.last, epoch: 1, time: 1 },
    });
  };
  const asked = () => venue.requests.filter(({ channel }) => channel === "X@depth").length;
  const counts = [];
  for (let round = 0; round < 4; round += 1) {
    wrong();
    wrong();
    await venue.clock.advance(900);
    counts.push(asked());
  }
  assert.deepEqual(counts, [2, 2, 3, 3]); // the first subscription, at once, and after a second
  assert.equal(gaps.length, 3);
});

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`through gaps, faults and reconnects the book comes to be that of the server (${seed})`, async () => {
    const venue = new Venue();
    addBook(venue);
    const random = randomly(seed);
    const client = new Client("ws://there", venue.options({ random }));
    let seen = 0;
    const truths = new Map();
    const keep = (book) => {
      if (!book.inSync) return;
      seen += 1;
      const truth = truths.get(book.last);
      assert.deepEqual([book.bids(), book.asks()], truth, `as of ${book.last}`);
    };
    const subscription = client.book("X", keep, { checksum: false });
    const remember = () => {
      const { bids, asks, last } = venue.snapshot("X@depth");
      truths.set(last, [bids, asks]);
    };
    remember();
    client.connect();
    for (let step = 0; step < 600; step += 1) {
      const level = (from) => [
        (from + Math.floor(random() * 200) / 10).toFixed(1),
        random() < 0.4 ? "0" : String(1 + Math.floor(random() * 9)),
      ];
      const dice = random();
      venue.change("X@depth", [level(0), level(0)], [level(30)], { lose: () => dice < 0.03 });
      remember();
      if (dice > 0.985) venue.socket.drop(1006);
      if (dice > 0.97 && dice < 0.98) venue.books.get("X@depth").epoch += 1;
      venue.accepts = random() > 0.1;
      await venue.clock.advance(random() < 0.1 ? 700 : 4);
    }
    venue.accepts = true;
    await venue.clock.advance(60_000);
    venue.change("X@depth", [["5.5", "3"]], []);
    remember();
    await venue.clock.advance(60_000);
    assert.ok(subscription.book.inSync);
    const { bids, asks, last } = venue.snapshot("X@depth");
    assert.deepEqual([subscription.book.bids(), subscription.book.asks(), subscription.book.last], [bids, asks, last]);
    assert.ok(seen > 100, String(seen));
  });
}
