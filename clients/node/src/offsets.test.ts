import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { utf16Offsets } from "./offsets.js";

interface Case {
  name: string;
  text: string;
  ranges: { start: number; end: number; utf16: [number, number]; substring: string }[];
}

const vectors = new URL("../../../tests/contract/vectors/offsets.json", import.meta.url);
const cases = JSON.parse(readFileSync(vectors, "utf8")) as Case[];

test("there are vectors", () => assert.ok(cases.length > 0));

for (const { name, text, ranges } of cases) {
  test(`ranges of ${name}`, () => {
    const at = utf16Offsets(text);
    assert.equal(at.length, [...text].length + 1);
    for (const range of ranges) {
      assert.deepEqual([at[range.start], at[range.end]], range.utf16);
      assert.equal(text.slice(at[range.start], at[range.end]), range.substring);
    }
  });
}
