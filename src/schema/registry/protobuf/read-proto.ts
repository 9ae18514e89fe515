/**
 * Reads the text of a `.proto` file (proto2, proto3, editions) into a draft. Words only: whether names and numbers are
 * right is decided when it is linked.
 */
import { schemaLimits } from "../schema-limits.ts";
import {
  type EnumDraft,
  type ExtendDraft,
  enumDraft,
  type FieldDraft,
  type FileDraft,
  fileDraft,
  type MessageDraft,
  messageDraft,
} from "./proto-draft.ts";
import type { NumberRange, ProtoMethod, ProtoOption, ProtoService } from "./proto-file.ts";
import { ProtoTokens } from "./proto-tokens.ts";

export const fieldNumberMax = 2 ** 29 - 1;
const enumNumberMax = 2 ** 31 - 1;

/** Throws `MillraceError` `SCHEMA_INVALID`. */
export function readProto(text: string, path: string): FileDraft {
  return new ProtoReader(text, path).file();
}

class ProtoReader {
  readonly #tokens: ProtoTokens;
  readonly #file: FileDraft;
  #depth = 0;

  constructor(text: string, path: string) {
    this.#tokens = new ProtoTokens(text, path);
    this.#file = fileDraft(path);
  }

  file(): FileDraft {
    const tokens = this.#tokens;
    const file = this.#file;
    while (tokens.peek().kind !== "end") {
      const token = tokens.peek();
      if (tokens.accept(";")) continue;
      switch (tokens.name()) {
        case "syntax":
        case "edition":
          this.#syntax(token.text);
          break;
        case "package":
          file.package = tokens.path();
          tokens.expect(";");
          break;
        case "import": {
          const kind = tokens.accept("public") ? "public" : tokens.accept("weak") ? "weak" : "";
          file.imports.push({ path: tokens.string(), kind });
          tokens.expect(";");
          break;
        }
        case "option":
          file.options.push(this.#optionStatement());
          break;
        case "message":
          file.messages.push(this.#message());
          break;
        case "enum":
          file.enums.push(this.#enum());
          break;
        case "service":
          file.services.push(this.#service());
          break;
        case "extend":
          file.extends.push(this.#extend(file.messages));
          break;
        default:
          tokens.fail(token, `"${token.text}" begins nothing here`);
      }
    }
    return file;
  }

  #syntax(word: string): void {
    const tokens = this.#tokens;
    tokens.expect("=");
    const at = tokens.peek();
    const value = tokens.string();
    tokens.expect(";");
    if (word === "edition") {
      this.#file.syntax = "editions";
      this.#file.edition = value;
    } else if (value === "proto2" || value === "proto3") this.#file.syntax = value;
    else tokens.fail(at, `the syntax "${value}" is not known`);
  }

  /** Between braces: `member` reads one statement, given its first word. */
  #block(member: () => void): void {
    const tokens = this.#tokens;
    if (++this.#depth > schemaLimits.schemaDepthMax) tokens.fail(tokens.peek(), "nested too deep");
    tokens.expect("{");
    while (!tokens.accept("}")) {
      if (tokens.accept(";")) continue;
      if (tokens.peek().kind === "end") tokens.fail(tokens.peek(), '"}" is missing');
      member();
    }
    this.#depth--;
  }

  #message(): MessageDraft {
    const { at } = this.#tokens.peek();
    const message = messageDraft(this.#tokens.name(), at);
    this.#messageBody(message);
    return message;
  }

  #messageBody(message: MessageDraft): void {
    const tokens = this.#tokens;
    this.#block(() => {
      const word = tokens.peek();
      // A field of a type that is called as a statement is: told apart by what follows.
      const statement = word.kind === "name" ? word.text : "";
      switch (statement) {
        case "message":
        case "enum":
        case "extend":
        case "oneof":
        case "option":
          return this.#nested(message, statement);
        case "reserved":
          tokens.next();
          return this.#reserved(message.reservedRanges, message.reservedNames, fieldNumberMax);
        case "extensions":
          tokens.next();
          return this.#extensions(message);
        default:
          message.fields.push(this.#field(message.messages, null));
      }
    });
  }

  #nested(message: MessageDraft, statement: "message" | "enum" | "extend" | "oneof" | "option"): void {
    const tokens = this.#tokens;
    tokens.next();
    if (statement === "message") message.messages.push(this.#message());
    else if (statement === "enum") message.enums.push(this.#enum());
    else if (statement === "extend") message.extends.push(this.#extend(message.messages));
    else if (statement === "option") message.options.push(this.#optionStatement());
    else {
      const name = tokens.name();
      const options: ProtoOption[] = [];
      message.oneofs.push({ name, options });
      this.#block(() => {
        if (tokens.peek().text === "option") {
          tokens.next();
          options.push(this.#optionStatement());
        } else message.fields.push(this.#field(message.messages, name));
      });
    }
  }

  #field(groups: MessageDraft[], oneof: string | null): FieldDraft {
    const tokens = this.#tokens;
    const { at } = tokens.peek();
    let label: FieldDraft["label"] = null;
    for (const word of ["optional", "required", "repeated"] as const) {
      if (label === null && tokens.peek().text === word) {
        tokens.next();
        label = word;
      }
    }
    let map: FieldDraft["map"] = null;
    let typeName = tokens.path();
    if (typeName === "map" && tokens.accept("<")) {
      const key = tokens.path();
      tokens.expect(",");
      map = { key, value: tokens.path() };
      tokens.expect(">");
      typeName = `map<${map.key}, ${map.value}>`;
    }
    const group = typeName === "group" && map === null;
    const name = tokens.name();
    tokens.expect("=");
    const number = tokens.integer();
    const options = this.#optionList();
    if (group) {
      const message = messageDraft(name, at);
      this.#messageBody(message);
      groups.push(message);
      return { name: name.toLowerCase(), number, label, typeName: name, map, oneof, group, options, at };
    }
    tokens.expect(";");
    return { name, number, label, typeName, map, oneof, group, options, at };
  }

  #enum(): EnumDraft {
    const tokens = this.#tokens;
    const { at } = tokens.peek();
    const found = enumDraft(tokens.name(), at);
    this.#block(() => {
      const word = tokens.name();
      if (word === "option" && tokens.peek().text !== "=") found.options.push(this.#optionStatement());
      else if (word === "reserved" && tokens.peek().text !== "=") {
        this.#reserved(found.reservedRanges, found.reservedNames, enumNumberMax);
      } else {
        tokens.expect("=");
        const number = tokens.integer();
        found.values.push({ name: word, number, options: this.#optionList() });
        tokens.expect(";");
      }
    });
    return found;
  }

  #reserved(ranges: NumberRange[], names: string[], max: number): void {
    const tokens = this.#tokens;
    do {
      const { kind } = tokens.peek();
      if (kind === "string") names.push(tokens.string());
      else if (kind === "name") names.push(tokens.name());
      else ranges.push(this.#range(max));
    } while (tokens.accept(","));
    tokens.expect(";");
  }

  #range(max: number): NumberRange {
    const from = this.#tokens.integer();
    if (!this.#tokens.accept("to")) return { from, to: from };
    return { from, to: this.#tokens.accept("max") ? max : this.#tokens.integer() };
  }

  #extensions(message: MessageDraft): void {
    do message.extensionRanges.push(this.#range(fieldNumberMax));
    while (this.#tokens.accept(","));
    this.#optionList();
    this.#tokens.expect(";");
  }

  #extend(groups: MessageDraft[]): ExtendDraft {
    const extendee = this.#tokens.path();
    const fields: FieldDraft[] = [];
    this.#block(() => fields.push(this.#field(groups, null)));
    return { extendee, fields };
  }

  #service(): ProtoService {
    const tokens = this.#tokens;
    const name = tokens.name();
    const methods: ProtoMethod[] = [];
    const options: ProtoOption[] = [];
    this.#block(() => {
      const token = tokens.peek();
      const word = tokens.name();
      if (word === "option") options.push(this.#optionStatement());
      else if (word === "rpc") methods.push(this.#method());
      else tokens.fail(token, `"${word}" begins nothing in a service`);
    });
    return { name, methods, options };
  }

  #method(): ProtoMethod {
    const tokens = this.#tokens;
    const name = tokens.name();
    const side = (): { readonly streaming: boolean; readonly type: string } => {
      tokens.expect("(");
      // `stream .a.B` is a stream, `stream.a.B` a type.
      const first = tokens.peek().text === "." ? "" : tokens.name();
      const next = tokens.peek();
      const streaming = first === "stream" && (next.kind === "name" || (next.text === "." && next.spaced));
      const type = streaming || first === "" ? tokens.path() : tokens.accept(".") ? `${first}.${tokens.path()}` : first;
      tokens.expect(")");
      return { streaming, type };
    };
    const input = side();
    tokens.expect("returns");
    const output = side();
    const options: ProtoOption[] = [];
    if (tokens.peek().text === "{") {
      this.#block(() => {
        tokens.expect("option");
        options.push(this.#optionStatement());
      });
    } else tokens.expect(";");
    return {
      name,
      input: input.type,
      output: output.type,
      clientStreaming: input.streaming,
      serverStreaming: output.streaming,
      options,
    };
  }

  #optionStatement(): ProtoOption {
    const option = this.#option();
    this.#tokens.expect(";");
    return option;
  }

  /** `[a = 1, (b).c = "x"]`, or nothing. */
  #optionList(): ProtoOption[] {
    const options: ProtoOption[] = [];
    if (!this.#tokens.accept("[")) return options;
    do options.push(this.#option());
    while (this.#tokens.accept(","));
    this.#tokens.expect("]");
    return options;
  }

  #option(): ProtoOption {
    const tokens = this.#tokens;
    let name = "";
    do {
      if (name !== "") name += ".";
      if (tokens.accept("(")) {
        name += `(${tokens.path()})`;
        tokens.expect(")");
      } else name += tokens.name();
    } while (tokens.accept("."));
    tokens.expect("=");
    return { name, value: this.#optionValue() };
  }

  #optionValue(): string {
    const tokens = this.#tokens;
    const token = tokens.peek();
    if (token.text === "{" && token.kind === "symbol") return this.#aggregate();
    if (token.kind === "string") return JSON.stringify(tokens.string());
    const sign = tokens.accept("-") ? "-" : tokens.accept("+") ? "" : "";
    const value = tokens.next();
    if (value.kind !== "name" && value.kind !== "number") tokens.fail(value, "an option has no value");
    return sign + value.text;
  }

  /** The text form of a message: kept word by word. */
  #aggregate(): string {
    const tokens = this.#tokens;
    const words: string[] = [];
    let depth = 0;
    do {
      const token = tokens.next();
      if (token.kind === "end") tokens.fail(token, "an option's value has no end");
      if (token.kind === "symbol" && (token.text === "{" || token.text === "<" || token.text === "[")) depth++;
      if (token.kind === "symbol" && (token.text === "}" || token.text === ">" || token.text === "]")) depth--;
      words.push(token.text);
    } while (depth > 0);
    return words.join(" ");
  }
}
