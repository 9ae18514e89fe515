/** Finds the route of a method and a path. Literal segments win over parameters, and nothing depends on the table's order. */
import { MillraceError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import type { Route } from "./route.ts";

export interface Match {
  readonly route: Route;
  readonly segments: Readonly<Record<string, string>>;
}

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | null;
  readonly routes: Map<string, Place>;
}

/** A route, and which segments of its path are parameters. */
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
    const segments = segmentsOf(path);
    const found = find(this.#root, segments, 0);
    if (!found) throw this.#unknown(path);
    const place = found.routes.get(method === "HEAD" ? "GET" : method);
    if (!place) {
      const allow = allowOf(found);
      throw new MillraceError("METHOD_NOT_ALLOWED", `${method.slice(0, 20)} is not a method of ${path.slice(0, 200)}`, {
        hint: `It has ${allow}.`,
        details: { allow },
      });
    }
    const values: Record<string, string> = {};
    for (const { name, at } of place.parameters) values[name] = segments[at] ?? "";
    return { route: place.route, segments: values };
  }

  /** The value of `Allow` for a path that exists. Throws `ROUTE_UNKNOWN`. */
  allow(path: string): string {
    const found = find(this.#root, segmentsOf(path), 0);
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
  return { literals: new Map(), parameter: null, routes: new Map() };
}

function child(parent: Node, segment: string): Node {
  if (segment.startsWith("{")) {
    parent.parameter ??= node();
    return parent.parameter;
  }
  let next = parent.literals.get(segment);
  if (!next) {
    next = node();
    parent.literals.set(segment, next);
  }
  return next;
}

/** As `split` would have it, which costs more. */
function segmentsOf(path: string): string[] {
  const segments: string[] = [];
  for (let from = 1; ; ) {
    const slash = path.indexOf("/", from);
    if (slash < 0) {
      segments.push(path.slice(from));
      return segments;
    }
    segments.push(path.slice(from, slash));
    from = slash + 1;
  }
}

function find(at: Node, segments: readonly string[], depth: number): Node | undefined {
  const segment = segments[depth];
  if (segment === undefined) return at.routes.size > 0 ? at : undefined;
  // A look-up hashes the segment, which is new with each request.
  const literal = at.literals.size > 0 ? at.literals.get(segment) : undefined;
  const found = literal && find(literal, segments, depth + 1);
  if (found) return found;
  return at.parameter && segment !== "" ? find(at.parameter, segments, depth + 1) : undefined;
}

function allowOf(found: Node): string {
  const methods = [...found.routes.keys()];
  return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
}
