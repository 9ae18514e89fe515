/**
 * Standard Schema (standardschema.dev, version 1) as zod, valibot, arktype and others implement it: a value is validated
 * by the library's own function. Where the library can print a JSON Schema (Standard JSON Schema, or a method of the
 * schema), that is what the registry gets.
 */
import type { PayloadProblem } from "../../schema/registry/parsed-schema.ts";

export interface StandardSchema<In = unknown, Out = In> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Out> | Promise<StandardResult<Out>>;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

type StandardResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

type TypesOf<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>;
export type InputOf<S extends StandardSchema> = TypesOf<S>["input"];
export type OutputOf<S extends StandardSchema> = TypesOf<S>["output"];

export type Validated =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problems: readonly PayloadProblem[] };

const problemsMax = 20;

export function isStandardSchema(value: unknown): value is StandardSchema {
  // Arktype's schemas are functions.
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard = (value as Partial<StandardSchema>)["~standard"];
  return typeof standard === "object" && standard !== null && typeof standard.validate === "function";
}

/** Never throws: a schema that fails is a value that does not fit. Doors do not wait, so that a promise is refused too. */
export function validateStandard(schema: StandardSchema, value: unknown): Validated {
  try {
    const result = schema["~standard"].validate(value);
    if (result instanceof Promise) {
      result.catch(() => undefined);
      return misfit("the schema validates with promises, which doors do not wait for");
    }
    if (result.issues === undefined) return { ok: true, value: result.value };
    const problems = result.issues.slice(0, problemsMax).map(({ message, path }) => {
      return { path: pointerOf(path ?? []), message: String(message).slice(0, 500) };
    });
    return { ok: false, problems: problems.length > 0 ? problems : [{ path: "", message: "the value does not fit" }] };
  } catch (cause) {
    return misfit(`the schema failed: ${reasonOf(cause)}`);
  }
}

/** Before there are values: true when the schema answers promises. */
export function isAsynchronous(schema: StandardSchema): boolean {
  try {
    const result = schema["~standard"].validate(undefined);
    if (!(result instanceof Promise)) return false;
    result.catch(() => undefined);
    return true;
  } catch {
    return false;
  }
}

/** What the library says the schema's input is; undefined when it cannot say. */
export function jsonSchemaOf(schema: StandardSchema): object | undefined {
  const { jsonSchema } = schema["~standard"];
  const own = schema as { readonly toJsonSchema?: () => unknown };
  const ways = [
    () => jsonSchema?.input({ target: "draft-2020-12" }),
    () => (typeof own.toJsonSchema === "function" ? own.toJsonSchema() : undefined),
  ];
  for (const way of ways) {
    try {
      const found = way();
      if (typeof found === "object" && found !== null) return found;
    } catch {
      // What JSON Schema cannot say: the function is still there.
    }
  }
  return undefined;
}

function misfit(message: string): Validated {
  return { ok: false, problems: [{ path: "", message }] };
}

function pointerOf(path: NonNullable<StandardIssue["path"]>): string {
  return path
    .map((part) => {
      const key = String(typeof part === "object" ? part.key : part);
      return `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    })
    .join("");
}

function reasonOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replaceAll(/\s+/g, " ").slice(0, 200);
}
