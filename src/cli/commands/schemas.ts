/** `schemas`: the registry of a running Millrace, as its own clients see it. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandContext, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printTable } from "../table.ts";

interface SchemaAnswer {
  readonly subject: string;
  readonly version: number;
  readonly id: number;
  readonly schemaType?: string;
  readonly references?: readonly { readonly name: string; readonly subject: string; readonly version: number }[];
  readonly schema: string;
  readonly deleted?: true;
}

interface SchemaOptions {
  readonly type: string;
  readonly reference: readonly string[];
  readonly json?: true;
}

const mediaType = "application/vnd.schemaregistry.v1+json";
const inputBytesMax = 1024 * 1024;

export const schemasCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const schemas = program
    .command("schemas")
    .description("schemas of the registry: list, show, register, check, delete");
  schemas
    .command("list")
    .description("all subjects with their newest versions")
    .option("--deleted", "those that are deleted, and not yet for good, too")
    .option("--json", "as JSON")
    .action(async ({ deleted, json }: { deleted?: true; json?: true }) => {
      const query = deleted ? "&deleted=true" : "";
      const answer = await apiOf(context).get(`/registry/schemas?latestOnly=true${query}`);
      if (json) return printJson(terminal, answer);
      printTable(
        terminal,
        [
          { title: "subject" },
          { title: "version", align: "right" },
          { title: "id", align: "right" },
          { title: "type" },
        ],
        (answer as readonly SchemaAnswer[]).map((one) => {
          const subject = one.deleted ? `${one.subject} (deleted)` : one.subject;
          return [subject, String(one.version), String(one.id), one.schemaType ?? "AVRO"];
        }),
      );
    });
  schemas
    .command("show <subject>")
    .description("a version of a subject with its schema")
    .option("--at <version>", "which one; the newest when left out", "latest")
    .option("--json", "as JSON")
    .action(async (subject: string, { at, json }: { at: string; json?: true }) => {
      const path = `/registry/subjects/${segment(subject)}/versions/${segment(at)}`;
      const answer = await apiOf(context).get(`${path}?deleted=true`);
      if (json) return printJson(terminal, answer);
      const { references = [], schema, ...one } = answer as SchemaAnswer;
      printFacts(terminal, {
        subject: one.subject,
        version: `${one.version}${one.deleted ? " (deleted)" : ""}`,
        id: String(one.id),
        type: one.schemaType ?? "AVRO",
        "built on": references.map(({ name, subject: of, version: at }) => `${name} (${of}, ${at})`).join(", ") || null,
      });
      terminal.print("");
      terminal.print(indented(schema));
    });
  withSchema(
    schemas
      .command("register <subject> [file]")
      .description("register a schema of a file, or of stdin, below a subject"),
  )
    .addHelpText(
      "after",
      "\nExamples:\n  $ millrace schemas register orders-value order.avsc\n  $ millrace schemas register orders-value order.proto --type protobuf",
    )
    .action(async (subject: string, file: string | undefined, options: SchemaOptions) => {
      const path = `/registry/subjects/${segment(subject)}/versions`;
      const answer = await apiOf(context).post(path, mediaType, await bodyOf(file, options, context));
      if (options.json) return printJson(terminal, answer);
      terminal.print(`subject ${subject} has the schema with id ${(answer as { id: number }).id}`);
    });
  withSchema(
    schemas
      .command("check <subject> [file]")
      .description("say whether a schema of a file, or of stdin, could be registered; exit 1 when it could not"),
  ).action(async (subject: string, file: string | undefined, options: SchemaOptions) => {
    const path = `/registry/compatibility/subjects/${segment(subject)}/versions?verbose=true`;
    const answer = (await apiOf(context).post(path, mediaType, await bodyOf(file, options, context))) as {
      is_compatible: boolean;
      messages?: readonly string[];
    };
    if (options.json) printJson(terminal, answer);
    else if (answer.is_compatible) terminal.print(`it could be registered below ${subject}`);
    else {
      terminal.print(`it could not be registered below ${subject}:`);
      for (const message of answer.messages ?? []) terminal.print(`  ${message}`);
    }
    if (!answer.is_compatible) context.fail(1);
  });
  schemas
    .command("delete <subject>")
    .description("hide a subject, or one version of it; with --permanent erase what is hidden")
    .option("--at <version>", "this version only")
    .option("--permanent", "for good: values that name its ids cannot be read any more")
    .option("--json", "as JSON")
    .action(async (subject: string, options: { at?: string; permanent?: true; json?: true }) => {
      const { at, permanent, json } = options;
      const of = at === undefined ? "" : `/versions/${segment(at)}`;
      const query = permanent ? "?permanent=true" : "";
      const answer = await apiOf(context).delete(`/registry/subjects/${segment(subject)}${of}${query}`);
      if (json) return printJson(terminal, answer);
      const versions = [answer].flat().join(", ");
      terminal.print(`${permanent ? "erased" : "deleted"} of ${subject}: version ${versions}`);
    });
};

function withSchema(command: ReturnType<Parameters<CommandModule>[0]["command"]>) {
  return command
    .option("--type <type>", "avro, json or protobuf", "avro")
    .option("--reference <reference...>", "what it is built on: name=subject:version", [])
    .option("--json", "as JSON");
}

async function bodyOf(file: string | undefined, options: SchemaOptions, context: CommandContext): Promise<string> {
  const schema = file === undefined ? await inputOf(context) : fileOf(resolve(context.directory, file));
  const references = options.reference.map((text) => {
    const [, name, subject, version] = /^(.+?)=(.+):(-?\d+)$/.exec(text) ?? [];
    if (name !== undefined) return { name, subject, version: Number(version) };
    throw new MillraceError("REQUEST_INVALID", `${JSON.stringify(text)} is no reference`, {
      hint: "Write name=subject:version, as in customer.json=customers-value:1.",
    });
  });
  return JSON.stringify({ schema, schemaType: options.type.toUpperCase(), references });
}

async function inputOf({ input }: CommandContext): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > inputBytesMax) throw new MillraceError("SCHEMA_TOO_LARGE", "the schema is larger than 1 MB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function fileOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** JSON on several lines; what is none as it is. */
function indented(schema: string): string {
  try {
    return JSON.stringify(JSON.parse(schema), null, 2);
  } catch {
    return schema;
  }
}
