/** The page: one client of the server, and the views that show what it hears. */

import { Account } from "./account.mjs";
import { Chart } from "./chart.mjs";
import { DepthChart } from "./depth.mjs";
import { Client } from "./exchange-push.mjs";
import { Digits, clock } from "./format.mjs";
import { Ladder } from "./ladder.mjs";
import { Markets } from "./markets.mjs";
import { make, paint, setAttribute, setText } from "./paint.mjs";
import { Quote } from "./quote.mjs";
import { Tape } from "./tape.mjs";

const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"];
const FEW = 20; // candles
const PRIVATE = ["balance", "position", "order"];
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

const stream = new URL(root.dataset.stream, location.href);
stream.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const client = new Client(stream);

async function ask(path) {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.msg);
  return answer;
}

// -- what is shown

const digits = new Map();
const marks = new Map();
const digitsOfSymbol = (symbol) => {
  if (!digits.has(symbol)) digits.set(symbol, new Digits());
  return digits.get(symbol);
};

const markets = new Markets(byId("markets"), digitsOfSymbol, (symbol) => {
  show(symbol, shown.interval);
  if (root.dataset.view === "markets") view("chart");
});
const quote = new Quote(byId("quote"));
const chart = new Chart(byId("chart"), ask);
const ladder = new Ladder(byId("book"));
const depth = new DepthChart(byId("depth"));
const tape = new Tape(byId("tape"));
const account = new Account(byId("account"), (symbol) => marks.get(symbol)?.markPrice ?? null, digitsOfSymbol);
const shown = { symbol: null, interval: "1m", chosen: false, subscriptions: [], candles: null };

function show(symbol, interval) {
  const sameSymbol = symbol === shown.symbol;
  if (sameSymbol && interval === shown.interval && shown.candles !== null) return;
  shown.interval = interval;
  if (!sameSymbol) showSymbol(symbol);
  shown.candles?.close();
  chart.show(symbol, interval, digitsOfSymbol(symbol));
  shown.candles = client.subscribe(`${symbol}@kline_${interval}`, (candle) => chart.take(candle));
  history.replaceState(null, "", `#${symbol}/${interval}`);
  byId("intervals").querySelector(`input[value="${interval}"]`).checked = true;
  markStale();
}

function showSymbol(symbol) {
  shown.subscriptions.forEach((subscription) => subscription.close());
  shown.symbol = symbol;
  const places = digitsOfSymbol(symbol);
  markets.mark(symbol);
  quote.show(symbol, places);
  ladder.show(places);
  depth.show(places);
  tape.show(places);
  const ticker = markets.tickers.get(symbol);
  if (ticker !== undefined) quote.takeTicker(ticker);
  if (marks.has(symbol)) quote.takeMark(marks.get(symbol));
  shown.subscriptions = [
    client.book(symbol, (book) => {
      markStale();
      if (!book.inSync) return; // what was known stays, marked as stale, until the snapshot
      ladder.take(book);
      depth.take(book);
    }),
    client.subscribe(`${symbol}@trades`, ({ trades }) => {
      const fresh = tape.take(trades);
      if (fresh.length > 0) {
        quote.takePrice(fresh.at(-1).price);
        ladder.takePrice(fresh.at(-1).price);
        paint(entitle);
      }
    }),
  ];
}

function entitle() {
  document.title = `${byId("quote").querySelector("[data-figure=last]").textContent} ${shown.symbol}`;
}

// -- what is always heard

client.subscribe("*@ticker", (tickers) => {
  for (const ticker of tickers) {
    markets.take(ticker);
    if (ticker.symbol === shown.symbol) quote.takeTicker(ticker);
  }
  if (shown.symbol === null) begin();
});
client.subscribe("*@markprice", (found) => {
  for (const mark of found) {
    marks.set(mark.symbol, mark);
    if (mark.symbol === shown.symbol) quote.takeMark(mark);
  }
  account.marked();
});

/** With the symbol of the address, #BTCUSDT/1m, else with the first. */
function begin() {
  const [symbol, interval] = location.hash.slice(1).split("/");
  const first = markets.symbols.includes(symbol) ? symbol : (shown.symbol ?? markets.symbols[0]);
  shown.chosen ||= INTERVALS.includes(interval);
  if (first !== undefined) show(first, INTERVALS.includes(interval) ? interval : shown.interval);
}
addEventListener("hashchange", begin);

client.on("subscribed", async ({ channel }) => {
  markStale();
  if (channel !== shown.candles?.channel) return;
  await chart.load();
  // A server that has just begun has more to show in seconds.
  if (!shown.chosen && shown.interval === "1m" && chart.loaded && chart.candles.size < FEW) show(shown.symbol, "1s");
});

// -- connection

const status = byId("status");
const latency = byId("latency");
let backAt = null;

function say(state, text) {
  setAttribute(root, "data-connection", state);
  setText(status, text);
}

async function list() {
  try {
    for (const { symbol } of await ask("v1/symbols")) markets.add(symbol);
    markets.sayNone();
    if (shown.symbol === null) begin();
  } catch (error) {
    say(root.dataset.connection, `No list of symbols: ${error.message}`);
  }
}

client.on("connected", () => {
  backAt = null;
  say("open", "Live");
  list();
});
client.on("closed", ({ code, reason, againMs }) => {
  setText(latency, "");
  backAt = againMs === null ? null : performance.now() + againMs;
  say(againMs === null ? "stopped" : "waiting", againMs === null ? `Closed: ${reason || code}` : "Reconnecting…");
  markStale();
});
client.on("latency", ({ ms }) => setText(latency, `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`));
client.on("refused", ({ channel, msg }) => say("open", `Live, but without ${channel}: ${msg}`));
client.on("shutdown", () => say("waiting", "The server restarts…"));
client.on("stale", markStale);
client.on("live", markStale);
addEventListener("online", () => client.hurry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) client.hurry();
});
byId("again").addEventListener("click", () => (client.state === "stopped" ? client.connect() : client.hurry()));

setInterval(() => {
  if (document.hidden) return;
  const serverMs = Date.now() + client.clockOffsetMs;
  setText(byId("clock"), `${clock(serverMs)} UTC`);
  quote.tick(serverMs);
  if (shown.symbol === null && client.state === "open") list();
  if (backAt !== null && client.state === "waiting") {
    const left = Math.ceil((backAt - performance.now()) / 1000);
    if (left > 1) say("waiting", `Reconnecting in ${left} s`);
  }
}, 1000);

/** Marks what may be old, so that nobody trades on it. */
function markStale() {
  const [book, trades] = shown.subscriptions;
  const unsure = book !== undefined && book.book.inSync ? null : "";
  const old = (subscription) =>
    subscription === undefined || subscription === null || !subscription.on || subscription.stale ? "" : null;
  setAttribute(byId("book"), "data-stale", unsure ?? old(book));
  setAttribute(byId("depth"), "data-stale", unsure ?? old(book));
  setAttribute(byId("tape"), "data-stale", old(trades));
  setAttribute(byId("quote"), "data-stale", old(trades));
  setAttribute(byId("chart"), "data-stale", old(shown.candles));
}

// -- login

const login = byId("login");
const token = byId("token");
const told = byId("told");

for (const each of (root.dataset.tokens ?? "").split(" ").filter(Boolean)) {
  const button = make("button", { type: "button", class: "quiet" }, each);
  button.addEventListener("click", () => {
    token.value = each;
    login.requestSubmit();
  });
  byId("demo-tokens").append(button);
}

login.addEventListener("submit", (event) => {
  event.preventDefault();
  if (token.value === "") return;
  setText(told, "Logging in…");
  client.login(token.value);
});
byId("logout").addEventListener("click", () => {
  client.logout();
  account.clear();
  setAttribute(root, "data-login", null);
  setText(told, "");
  token.focus();
});
client.on("loggedIn", () => {
  setAttribute(root, "data-login", "");
  setText(byId("who"), token.value.startsWith("demo-") ? token.value : "Logged in");
  setText(told, "");
  listenPrivately();
});
client.on("loginFailed", ({ msg, again }) => {
  if (!again) setAttribute(root, "data-login", null);
  setText(told, again ? `${msg}. Trying again…` : msg);
});
client.on("loggedOut", ({ reason }) => {
  setText(told, `The login ended: ${reason}.`);
  if (reason !== "expired") setAttribute(root, "data-login", null);
});
client.on("lost", ({ channel }) => setText(told, `Some events of ${channel} are too long ago to be had again.`));

function listenPrivately() {
  const takes = {
    balance: (data) => account.takeBalance(data),
    position: (data) => account.takePosition(data),
    order: (data) => account.takeOrder(data),
  };
  for (const kind of PRIVATE) {
    if (client.has(`@${kind}`)) continue;
    client.subscribe(`@${kind}`, takes[kind]);
  }
}

// -- views and choices

for (const interval of INTERVALS) {
  const input = make("input", { type: "radio", name: "interval", value: interval });
  input.addEventListener("change", () => {
    shown.chosen = true;
    if (shown.symbol !== null) show(shown.symbol, interval);
  });
  byId("intervals").append(make("label", {}, input, make("span", {}, interval)));
}

function view(name) {
  root.dataset.view = name;
  for (const button of document.querySelectorAll("#views button")) {
    setAttribute(button, "aria-current", button.dataset.to === name ? "page" : null);
  }
  scrollTo(0, 0);
}
for (const button of document.querySelectorAll("[data-to]")) {
  button.addEventListener("click", () => view(button.dataset.to));
}
view("chart");

client.connect();

/** For a console, and for tests. */
export const page = { client, shown, chart, ladder, depth, tape, markets, account };
