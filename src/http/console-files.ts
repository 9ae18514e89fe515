/**
 * The console's files, read once and kept. From source, types are stripped when a file is first asked for; published,
 * `dist/console` holds plain JavaScript under the same addresses.
 */
import { createHash } from "node:crypto";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import type { Disk } from "../base/disk.ts";

export interface StaticFile {
  readonly contentType: string;
  readonly body: Buffer;
  readonly etag: string;
}

const contentTypes: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  ts: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

const libraries: Readonly<Record<string, string>> = {
  "preact.js": "preact",
  "preact-hooks.js": "preact/hooks",
  "htm.js": "htm",
  "htm-preact.js": "htm/preact",
  "uplot.js": "uplot/dist/uPlot.esm.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
};

/** Answers undefined for a path that is none of the console's. */
export function openConsoleFiles(disk: Disk): (path: string) => Promise<StaticFile | undefined> {
  const kept = new Map<string, Promise<StaticFile | undefined>>();
  return (path) => {
    const name =
      path === "/" ? "index.html" : /^\/console\/((?:src\/|lib\/)?[a-z][a-z0-9-]*\.(?:css|js|ts|svg))$/.exec(path)?.[1];
    if (name === undefined) return Promise.resolve(undefined);
    let file = kept.get(name);
    if (file === undefined) {
      file = readStatic(disk, name).catch((error: NodeJS.ErrnoException) => {
        kept.delete(name);
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      kept.set(name, file);
    }
    return file;
  };
}

async function readStatic(disk: Disk, name: string): Promise<StaticFile | undefined> {
  const extension = name.slice(name.lastIndexOf(".") + 1);
  let body: Buffer;
  if (name.startsWith("lib/")) {
    const specifier = libraries[name.slice(4)];
    if (specifier === undefined) return undefined;
    body = await readWhole(disk, fileURLToPath(import.meta.resolve(specifier)));
  } else {
    body = await readWhole(disk, fileURLToPath(new URL(`../../console/${name}`, import.meta.url)));
    if (extension === "ts") body = Buffer.from(stripTypeScriptTypes(body.toString("utf8")));
  }
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { contentType: contentTypes[extension] ?? "application/octet-stream", body, etag };
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
