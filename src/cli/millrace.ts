#!/usr/bin/env node
// Any Node.js can read this file, so that one that is too old is told so; what needs a newer one is imported below.
import module from "node:module";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 6)) {
  process.stderr.write(
    `millrace: Node.js ${process.versions.node} is too old; version 24.6 or later is needed\n  Install the current LTS from https://nodejs.org.\n`,
  );
  process.exit(3);
}
module.enableCompileCache();
const { main } = await import("./main.ts");
await main(process.argv.slice(2));
