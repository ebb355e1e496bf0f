/** A client for the end-to-end test: keeps a book and orders, tells what it knows, a line of JSON each. */

import { Client } from "../../exchange_push/web/exchange-push.mjs";

const [url, token] = process.argv.slice(2);
const client = new Client(url, { token });
const say = (what, detail) => console.log(JSON.stringify([what, detail]));

for (const name of ["connected", "closed", "gap", "lost", "skipped", "refused", "loggedIn"])
  client.on(name, (detail) => say(name, detail));
client.on("subscribed", ({ channel }) => say("subscribed", channel));
client.book("BTCUSDT", (book) => say("book", book.inSync ? [book.last, book.bids(), book.asks()] : null));
client.subscribe("@order", (data) => say("order", data));
client.connect();
