/**
 * What the documents say must be so: links lead somewhere, tables equal the data that they describe, and code that is
 * marked as taken from a file stands in that file.
 *
 * A marked block is a fence below `<!-- from examples/shop/app.ts -->`; its pieces, parted by lines with nothing
 * but `…` (in a comment or not), stand in the file in this order. A table stands between `<!-- table: settings -->`
 * and `<!-- end -->`; `--write` makes it again.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { errorCodes } from "../src/base/error-codes.ts";
import { seededRandom } from "../src/base/random.ts";
import { sql, view } from "../src/catalog/definitions.ts";
import { settingsTable } from "../src/settings.ts";
import { compileViewSync, loadParser } from "../src/views/compile.ts";
import { makeTimedTables, timedFeatures } from "../src/views/law-clock.fixture.ts";
import { features, featureViews, keyedFeatures, lawSeed, multisetFeatures } from "../src/views/law-features.fixture.ts";
import { wholeFeatures, wholeRefreshMs } from "../src/views/law-whole.fixture.ts";

await loadParser();

const tables: Readonly<Record<string, () => string>> = {
  settings: settingsRows,
  errors: errorRows,
  features: featureRows,
};

/** Each wrong thing as `file:line: what`. */
export function checkDocs(root: string, { write }: { readonly write: boolean }): string[] {
  const pages = globSync(["*.md", "docs/**/*.md", "examples/**/*.md", "client/*.md", "bench/**/*.md"], {
    cwd: root,
    exclude: (path) => /(^|\/)node_modules(\/|$)/.test(path),
  });
  return pages.sort().flatMap((page) => {
    const path = join(root, page);
    const text = readFileSync(path, "utf8");
    const withTables = replaceTables(text);
    if (write && withTables !== text) writeFileSync(path, withTables);
    const complaints = [
      ...(write || withTables === text ? [] : [{ line: 1, what: "a table is out of date: npm run check -- --write" }]),
      ...brokenLinks(root, path, text),
      ...wrongCuts(root, text),
    ];
    return complaints.map(({ line, what }) => `${page}:${line}: ${what}`);
  });
}

interface Complaint {
  readonly line: number;
  readonly what: string;
}

export function replaceTables(text: string): string {
  return text.replace(/(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g, (whole, open, name, close) => {
    const rows = tables[name];
    return rows === undefined ? whole : `${open}\n${rows()}\n\n${close}`;
  });
}

function settingsRows(): string {
  const rows = settingsTable.map(({ name, form, default: value, about }) => {
    return `| \`${name}\` | ${form} | ${value === null ? "" : `\`${value}\``} | ${about} |`;
  });
  return ["| setting | form | default | what it does |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

/** The queries that the law's test holds against PostgreSQL, each with the class that the compiler gives it. */
function featureRows(): string {
  const mirrors = makeTimedTables(seededRandom(lawSeed));
  const whole = wholeFeatures.map((feature) => ({ ...feature, refreshMs: wholeRefreshMs }));
  const rows = [...features, ...keyedFeatures, ...multisetFeatures, ...timedFeatures, ...whole].map(
    ({ about, text, key, ...more }) => {
      const definition = { ...view("feature", { ...sql``, text }, key === undefined ? {} : { key }), ...more };
      const { class: is } = compileViewSync({ view: definition, mirrors, views: featureViews, version: 1 });
      return `| ${about} | ${is} | \`${text.replaceAll("|", "\\|")}\` |`;
    },
  );
  return ["| what | class | for example |", "| --- | --- | --- |", ...rows].join("\n");
}

function errorRows(): string {
  const rows = Object.entries(errorCodes).map(([code, entry]) => {
    const kafka = "kafka" in entry ? `\`${entry.kafka}\`` : "";
    return `| \`${code}\` | ${entry.http} | ${entry.exit} | ${entry.action} | ${kafka} | ${entry.about} |`;
  });
  const head = "| code | HTTP | exit | what to do | Kafka | about |";
  return [head, "| --- | --- | --- | --- | --- | --- |", ...rows].join("\n");
}

function brokenLinks(root: string, page: string, text: string): Complaint[] {
  const prose = withoutCode(text);
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap((match) => {
    const target = match[1] as string;
    if (/^[a-z]+:/i.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : resolve(path.startsWith("/") ? root : dirname(page), path.replace(/^\//, ""));
    const line = lineAt(text, match.index);
    if (relative(root, file).startsWith("..") || !existsSync(file)) return [{ line, what: `nothing is at ${target}` }];
    if (anchor && file.endsWith(".md") && !anchorsOf(readFileSync(file, "utf8")).has(anchor)) {
      return [{ line, what: `no heading for ${target}` }];
    }
    return [];
  });
}

/** As GitHub makes them from headings. */
function anchorsOf(text: string): Set<string> {
  const headings = withoutCode(text).matchAll(/^#{1,6}\s+(.+?)\s*$/gm);
  return new Set(
    [...headings].map((match) => {
      const words = (match[1] as string).toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "");
      return words.replaceAll(" ", "-");
    }),
  );
}

/** Fenced blocks and inline code become spaces, so that positions stay. */
function withoutCode(text: string): string {
  return text.replace(/^(```+)[^\n]*\n[\s\S]*?^\1|`[^`\n]*`/gm, (code) => code.replace(/[^\n]/g, " "));
}

function wrongCuts(root: string, text: string): Complaint[] {
  const marked = text.matchAll(/<!-- from (\S+) -->\s*\n```[^\n]*\n([\s\S]*?)^```/gm);
  return [...marked].flatMap((match) => {
    const [, path = "", block = ""] = match;
    const line = lineAt(text, match.index);
    const file = join(root, path);
    if (!existsSync(file)) return [{ line, what: `${path}, which the code is taken from, is not there` }];
    const missing = firstMissing(block, readFileSync(file, "utf8"));
    return missing === undefined ? [] : [{ line, what: `this code is not in ${path}: ${missing}` }];
  });
}

function firstMissing(block: string, text: string): string | undefined {
  let at = 0;
  for (const piece of block.split(/^\s*(?:\/\/|#|--)?\s*…\s*$/m)) {
    const wanted = piece.replace(/^\n+|\s+$/g, "");
    if (wanted === "") continue;
    const found = text.indexOf(wanted, at);
    if (found < 0) return JSON.stringify(wanted.split("\n")[0]);
    at = found + wanted.length;
  }
  return undefined;
}

function lineAt(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}
