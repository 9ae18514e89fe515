/** Finds the route of a method and a path. Literal segments win over parameters, and nothing depends on the table's order. */
import { MillraceError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import type { Route } from "./route.ts";

export interface Match {
  readonly route: Route;
  readonly segments: Readonly<Record<string, string>>;
}

interface Node {
  /** Few, so that comparing costs less than hashing a text that is new with each request. */
  readonly literals: (readonly [text: string, next: Node])[];
  parameter: Node | null;
  readonly routes: Map<string, Place>;
}

/** A route, and which segments of its path are parameters, in their order. */
interface Place {
  readonly route: Route;
  readonly parameters: readonly { readonly name: string; readonly at: number }[];
}

export class Router {
  readonly #root = node();
  readonly #paths: readonly string[];

  constructor(routes: readonly Route[]) {
    this.#paths = [...new Set(routes.map((route) => route.path))];
    for (const route of routes) {
      let at = this.#root;
      const segments = route.path.slice(1).split("/");
      for (const segment of segments) at = child(at, segment);
      if (at.routes.has(route.method)) throw new TypeError(`two routes for ${route.method} ${route.path}`);
      const parameters = segments.flatMap((segment, i) =>
        segment.startsWith("{") ? [{ name: segment.slice(1, -1), at: i }] : [],
      );
      at.routes.set(route.method, { route, parameters });
    }
  }

  /** HEAD is answered by GET. Throws `ROUTE_UNKNOWN` with the nearest path, and `METHOD_NOT_ALLOWED` with `details.allow`. */
  match(method: string, path: string): Match {
    const found = find(this.#root, path, 1);
    if (!found) throw this.#unknown(path);
    const place = found.routes.get(method === "HEAD" ? "GET" : method);
    if (!place) {
      const allow = allowOf(found);
      throw new MillraceError("METHOD_NOT_ALLOWED", `${method.slice(0, 20)} is not a method of ${path.slice(0, 200)}`, {
        hint: `It has ${allow}.`,
        details: { allow },
      });
    }
    return { route: place.route, segments: segmentsOf(path, place) };
  }

  /** The value of `Allow` for a path that exists. Throws `ROUTE_UNKNOWN`. */
  allow(path: string): string {
    const found = find(this.#root, path, 1);
    if (!found) throw this.#unknown(path);
    return allowOf(found);
  }

  #unknown(path: string): MillraceError {
    const meant = this.#nearestPath(path);
    return new MillraceError("ROUTE_UNKNOWN", `there is nothing at ${path.slice(0, 200)}`, {
      hint: meant === undefined ? "All paths are in /openapi.json." : `Did you mean ${meant}?`,
    });
  }

  #nearestPath(path: string): string | undefined {
    const asked = path.slice(0, 200).split("/").filter(Boolean);
    // Parameters are filled with what was asked, so that only the literal words are compared.
    const filled = new Map<string, string>();
    for (const pattern of this.#paths) {
      const parts = pattern.slice(1).split("/");
      if (parts.length < asked.length - 1 || parts.length > asked.length + 1) continue;
      filled.set(`/${parts.map((part, i) => (part.startsWith("{") ? (asked[i] ?? part) : part)).join("/")}`, pattern);
    }
    const found = nearest(`/${asked.join("/")}`, filled.keys());
    return found === undefined ? undefined : filled.get(found);
  }
}

function node(): Node {
  return { literals: [], parameter: null, routes: new Map() };
}

function child(parent: Node, segment: string): Node {
  if (segment.startsWith("{")) {
    parent.parameter ??= node();
    return parent.parameter;
  }
  const known = parent.literals.find(([text]) => text === segment);
  if (known) return known[1];
  const next = node();
  parent.literals.push([segment, next]);
  return next;
}

/** `from` is where the segment begins that comes next. */
function find(at: Node, path: string, from: number): Node | undefined {
  const slash = path.indexOf("/", from);
  const end = slash < 0 ? path.length : slash;
  for (const [text, next] of at.literals) {
    if (text.length !== end - from || !path.startsWith(text, from)) continue;
    const found = findNext(next, path, end);
    if (found) return found;
  }
  return at.parameter && end > from ? findNext(at.parameter, path, end) : undefined;
}

function findNext(at: Node, path: string, end: number): Node | undefined {
  if (end < path.length) return find(at, path, end + 1);
  return at.routes.size > 0 ? at : undefined;
}

/** The parameters of a path that has the place's form. */
function segmentsOf(path: string, { parameters }: Place): Record<string, string> {
  const values: Record<string, string> = {};
  let [from, segment] = [1, 0];
  for (const { name, at } of parameters) {
    for (; segment < at; segment++) from = path.indexOf("/", from) + 1;
    const slash = path.indexOf("/", from);
    values[name] = slash < 0 ? path.slice(from) : path.slice(from, slash);
  }
  return values;
}

function allowOf(found: Node): string {
  const methods = [...found.routes.keys()];
  return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
}
