/** How the page writes numbers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Digits,
  compact,
  decimal,
  fit,
  group,
  rounded,
  signOf,
  signed,
  units,
} from "../../exchange_push/web/format.mjs";
import { randomly } from "./venue.mjs";

test("numbers are shown with the server's own digits", () => {
  assert.equal(group("1234567.8901"), "1,234,567.8901");
  assert.equal(group("-999"), "−999");
  assert.equal(group("1000"), "1,000");
  assert.equal(fit("5", 2), "5.00");
  assert.equal(fit("5.123", 2), "5.123");
  assert.equal(signed("0.00"), "0.00");
  assert.equal(signed("-0.00"), "0.00");
  assert.equal(signed("1.5"), "+1.5");
  assert.equal(signed("-1.5"), "−1.5");
  assert.deepEqual(["0", "-0.0", "0.01", "-1"].map(signOf), [0, 0, 1, -1]);
  assert.equal(compact("10.925"), "10.93");
  assert.equal(compact("699280.5"), "699.28K");
  assert.equal(compact("12345678901"), "12.35B");
});

test("rounding goes half up, and to the digits that are asked for", () => {
  assert.equal(rounded("63977.42250000", 1), "63977.4");
  assert.equal(rounded("0.05", 1), "0.1");
  assert.equal(rounded("-0.05", 1), "-0.1");
  assert.equal(rounded("9.99", 1), "10.0");
  assert.equal(rounded("3", 2), "3.00");
});

test("sums are exact where numbers are not", () => {
  const random = randomly(3);
  for (let round = 0; round < 200; round += 1) {
    const digits = Math.floor(random() * 9);
    const parts = Array.from({ length: 20 }, () => BigInt(Math.floor(random() * 2 ** 50)) - 2n ** 49n);
    const sum = parts.map((part) => units(decimal(part, digits), digits)).reduce((a, b) => a + b, 0n);
    assert.equal(
      sum,
      parts.reduce((a, b) => a + b, 0n),
    );
    assert.equal(decimal(units(decimal(sum, digits), digits), digits), decimal(sum, digits));
  }
  assert.equal(decimal(units("0.1", 1) + units("0.2", 1), 1), "0.3");
});

test("the digits of a symbol only grow", () => {
  const digits = new Digits();
  for (const [price, quantity] of [
    ["1.5", "1"],
    ["1.55", null],
    ["2", "0.001"],
  ])
    digits.note(price, quantity);
  assert.deepEqual([digits.price, digits.quantity], [2, 3]);
});
