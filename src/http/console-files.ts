/**
 * The console's files, read once and kept. In the repository types are stripped when a file is first asked for; in the
 * published package the same names hold JavaScript already.
 */
import { createHash } from "node:crypto";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import type { Disk } from "../base/disk.ts";
import type { StaticFile, StaticFiles } from "./static-files.ts";

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  ts: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** The names of the import map, and what of `node_modules` they are. */
const libraries: Readonly<Record<string, string>> = {
  "preact.js": "preact",
  "preact-hooks.js": "preact/hooks",
  "htm.js": "htm",
  "htm-preact.js": "htm/preact",
  "uplot.js": "uplot/dist/uPlot.esm.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
};

export function openConsoleFiles(disk: Disk): StaticFiles {
  const kept = new Map<string, Promise<StaticFile | undefined>>();
  return (path) => {
    const name = path === "/" ? "index.html" : fileName(path);
    if (name === undefined) return Promise.resolve(undefined);
    const file = kept.get(name) ?? readFile(disk, name).catch(missing);
    kept.set(name, file);
    return file;
    function missing(error: NodeJS.ErrnoException): undefined {
      kept.delete(name as string);
      if (error.code !== "ENOENT") throw error;
    }
  };
}

function fileName(path: string): string | undefined {
  return /^\/console\/((?:src\/|lib\/)?[a-z][a-z0-9-]*\.(?:css|js|ts|svg))$/.exec(path)?.[1];
}

async function readFile(disk: Disk, name: string): Promise<StaticFile | undefined> {
  const extension = name.slice(name.lastIndexOf(".") + 1);
  const type = types[extension] ?? "application/octet-stream";
  if (name.startsWith("lib/")) {
    const specifier = libraries[name.slice(4)];
    if (specifier === undefined) return undefined;
    return { type, body: await readWhole(disk, fileURLToPath(import.meta.resolve(specifier))) };
  }
  let body = await readWhole(
    disk,
    fileURLToPath(new URL(`${isPublished ? ".." : "../.."}/console/${name}`, import.meta.url)),
  );
  if (extension === "ts" && !isPublished) body = Buffer.from(stripTypeScriptTypes(body.toString("utf8")));
  return extension === "html"
    ? { type, body, headers: { "content-security-policy": policyFor(body) } }
    : { type, body };
}

const isPublished = import.meta.url.endsWith(".js");

/** Only our own files run; the import map, the one script that stands in the page itself, is named by its hash. */
function policyFor(page: Buffer): string {
  const map = /<script type="importmap">([\s\S]*?)<\/script>/.exec(page.toString("utf8"))?.[1] ?? "";
  const hash = createHash("sha256").update(map).digest("base64");
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  try {
    const body = Buffer.alloc(await file.size());
    await file.read(body, 0);
    return body;
  } finally {
    await file.close();
  }
}
