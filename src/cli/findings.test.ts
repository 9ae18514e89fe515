import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { ok, printFindings, warning } from "./findings.ts";
import { openTerminal } from "./terminal.ts";

function printed(columns?: number): string[] {
  let text = "";
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const screen = columns === undefined ? {} : { isTTY: true, columns };
  const terminal = openTerminal({ out: Object.assign(out, screen), errors: out }, () => true);
  printFindings(terminal, [
    ok("machine", "fine"),
    warning("source", "the slot holds the log while nobody reads", "Run: alter system set a = 'b c'; select reload();"),
  ]);
  return text.trimEnd().split("\n");
}

test("on a screen findings are broken between words, under what they are about", () => {
  assert.deepEqual(printed(50), [
    "ok       machine  fine",
    "warning  source   the slot holds the log while",
    "                  nobody reads",
    "                  Run: alter system set a = 'b c';",
    "                  select reload();",
  ]);
});

test("in a pipe a finding and its hint are a line each", () => {
  assert.equal(printed().length, 3);
});
