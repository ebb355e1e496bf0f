/** How far the depth chart goes. */

import assert from "node:assert/strict";
import { test } from "node:test";

test("it goes as far as the deeper side, but never below a price of zero", async () => {
  globalThis.matchMedia = () => ({ matches: false });
  globalThis.document = { querySelector: () => null, addEventListener: () => {} };
  const { reachOf } = await import("../../exchange_push/web/depth.mjs");
  assert.equal(reachOf(100, [5, 8]), 8);
  assert.equal(reachOf(0.0173, [0.01, 0.0727]), 0.0173);
});
