/**
 * The texts of a `.proto` file that it is found again by. Canonical: without comments, laid out in one way, everything
 * in its order within its kind. Normalized: imports and options in the order of their names, types by their full names.
 */
import type {
  NumberRange,
  ProtoEnum,
  ProtoExtend,
  ProtoField,
  ProtoFile,
  ProtoMessage,
  ProtoOption,
  ProtoService,
} from "./proto-file.ts";
import { fieldNumberMax } from "./read-proto.ts";

export function printProto(file: ProtoFile, form: "canonical" | "normalized"): string {
  return new ProtoPrinter(form === "normalized").file(file);
}

class ProtoPrinter {
  readonly #normalize: boolean;

  constructor(normalize: boolean) {
    this.#normalize = normalize;
  }

  file(file: ProtoFile): string {
    const syntax = file.syntax === "editions" ? `edition = "${file.edition}";` : `syntax = "${file.syntax}";`;
    const imports = this.#sorted(file.imports, ({ path }) => path).map(
      ({ kind, path }) => `import ${kind === "" ? "" : `${kind} `}${JSON.stringify(path)};`,
    );
    const parts = [
      [file.package === "" ? syntax : `${syntax}\npackage ${file.package};`],
      imports.length === 0 ? [] : [imports.join("\n")],
      file.options.length === 0 ? [] : [this.#statements(file.options).join("\n")],
      file.messages
        .filter((message) => !isGroup(file.extends, message))
        .map((message) => this.#message(message).join("\n")),
      file.enums.map((one) => this.#enum(one).join("\n")),
      file.extends.map((one) => this.#extend(one).join("\n")),
      file.services.map((service) => this.#service(service).join("\n")),
    ];
    return `${parts.flat().join("\n\n")}\n`;
  }

  #sorted<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
    if (!this.#normalize) return items;
    return items.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  }

  #statements(options: readonly ProtoOption[]): string[] {
    return this.#sorted(options, ({ name }) => name).map(({ name, value }) => `option ${name} = ${value};`);
  }

  #inline(options: readonly ProtoOption[]): string {
    if (options.length === 0) return "";
    const list = this.#sorted(options, ({ name }) => name).map(({ name, value }) => `${name} = ${value}`);
    return ` [${list.join(", ")}]`;
  }

  #message(message: ProtoMessage): string[] {
    return [`message ${message.name} {`, ...indented(this.#body(message)), "}"];
  }

  #body(message: ProtoMessage): string[] {
    const groups = new Set(message.fields.filter(({ group }) => group).map(({ typeName }) => typeName));
    return [
      ...this.#statements(message.options),
      ...reserved(message.reservedRanges, message.reservedNames, fieldNumberMax),
      ...message.fields.filter(({ oneof }) => oneof === null).flatMap((field) => this.#field(field)),
      ...message.oneofs.flatMap((oneof) => {
        const members = message.fields.filter((field) => field.oneof === oneof.name);
        const inner = [...this.#statements(oneof.options), ...members.flatMap((field) => this.#field(field))];
        return [`oneof ${oneof.name} {`, ...indented(inner), "}"];
      }),
      ...message.extensionRanges.map((range) => `extensions ${rangeText(range, fieldNumberMax)};`),
      ...message.messages
        .filter((nested) => !groups.has(nested.name) && !isGroup(message.extends, nested))
        .flatMap((nested) => this.#message(nested)),
      ...message.enums.flatMap((nested) => this.#enum(nested)),
      ...message.extends.flatMap((one) => this.#extend(one)),
    ];
  }

  #field(field: ProtoField): string[] {
    const label = field.label === null ? "" : `${field.label} `;
    const options = this.#inline(field.options);
    if (field.group && field.type.kind === "message") {
      const head = `${label}group ${field.type.message.name} = ${field.number}${options} {`;
      return [head, ...indented(this.#body(field.type.message)), "}"];
    }
    return [`${label}${this.#typeName(field)} ${field.name} = ${field.number}${options};`];
  }

  #typeName(field: ProtoField): string {
    if (!this.#normalize) return field.typeName;
    if (field.map !== null) return `map<${this.#typeName(field.map.key)}, ${this.#typeName(field.map.value)}>`;
    if (field.type.kind === "scalar") return field.type.scalar;
    return `.${field.type.kind === "message" ? field.type.message.fullName : field.type.enum.fullName}`;
  }

  #enum(one: ProtoEnum): string[] {
    const inner = [
      ...this.#statements(one.options),
      ...reserved(one.reservedRanges, one.reservedNames, 2 ** 31 - 1),
      ...one.values.map(({ name, number, options }) => `${name} = ${number}${this.#inline(options)};`),
    ];
    return [`enum ${one.name} {`, ...indented(inner), "}"];
  }

  #extend(one: ProtoExtend): string[] {
    return [`extend ${one.extendee} {`, ...indented(one.fields.flatMap((field) => this.#field(field))), "}"];
  }

  #service(service: ProtoService): string[] {
    const methods = service.methods.flatMap((method) => {
      const side = (streaming: boolean, type: string): string => `(${streaming ? "stream " : ""}${type})`;
      const input = side(method.clientStreaming, method.input);
      const head = `rpc ${method.name} ${input} returns ${side(method.serverStreaming, method.output)}`;
      if (method.options.length === 0) return [`${head};`];
      return [`${head} {`, ...indented(this.#statements(method.options)), "}"];
    });
    return [`service ${service.name} {`, ...indented([...this.#statements(service.options), ...methods]), "}"];
  }
}

function isGroup(extensions: readonly ProtoExtend[], message: ProtoMessage): boolean {
  return extensions.some(({ fields }) => fields.some(({ group, typeName }) => group && typeName === message.name));
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function rangeText({ from, to }: NumberRange, max: number): string {
  return from === to ? String(from) : `${from} to ${to === max ? "max" : to}`;
}

function reserved(ranges: readonly NumberRange[], names: readonly string[], max: number): string[] {
  const lines: string[] = [];
  if (ranges.length > 0) lines.push(`reserved ${ranges.map((range) => rangeText(range, max)).join(", ")};`);
  if (names.length > 0) lines.push(`reserved ${names.map((name) => JSON.stringify(name)).join(", ")};`);
  return lines;
}
