/**
 * Listeners as Kafka's settings name them: `listeners`, `advertised.listeners`, `listener.security.protocol.map`.
 * `NAME://host:port`, with commas between; the name is its own protocol unless the map says another.
 */
import { MillraceError } from "../base/errors.ts";
import type { Listener, SecurityProtocol } from "./door-settings.ts";

const protocols: readonly SecurityProtocol[] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
const everyAddress = new Set(["0.0.0.0", "::", ""]);

export interface ListenerTexts {
  readonly listeners: string;
  readonly advertised: string | null;
  /** `INTERNAL:PLAINTEXT,EXTERNAL:SASL_SSL` */
  readonly protocolMap: string | null;
}

/** For messages. */
export interface ListenerSettingNames {
  readonly listeners: string;
  readonly advertised: string;
  readonly protocolMap: string;
}

/** Throws `SETTING_INVALID`, naming the setting. */
export function parseListeners(texts: ListenerTexts, names: ListenerSettingNames): Listener[] {
  const map = parseProtocolMap(texts.protocolMap, names.protocolMap);
  const bound = parseEndpoints(texts.listeners, names.listeners);
  const advertised = new Map(
    parseEndpoints(texts.advertised ?? "", names.advertised).map((endpoint) => [endpoint.name, endpoint]),
  );
  if (bound.length === 0) throw invalid(names.listeners, texts.listeners, "it names no listener");
  for (const { name, host, port } of advertised.values()) {
    if (!bound.some((one) => one.name === name)) {
      throw invalid(names.advertised, texts.advertised ?? "", `there is no listener ${name} in ${names.listeners}`);
    }
    if (port === 0) throw invalid(names.advertised, texts.advertised ?? "", "no client can connect to port 0");
    if (everyAddress.has(host)) {
      throw invalid(
        names.advertised,
        texts.advertised ?? "",
        `${host || "no host"} is no address that a client can connect to`,
      );
    }
  }
  return bound.map(({ name, host, port }) => {
    const protocol = map.get(name) ?? protocols.find((one) => one === name);
    if (!protocol) {
      throw invalid(
        names.listeners,
        texts.listeners,
        `the protocol of ${name} is not known; say it in ${names.protocolMap}`,
      );
    }
    const told = advertised.get(name);
    return {
      name,
      protocol,
      host: host || "0.0.0.0",
      port,
      advertised: { host: told?.host ?? (everyAddress.has(host) ? null : host), port: told?.port ?? null },
    };
  });
}

export function needsAuthentication({ protocol }: Pick<Listener, "protocol">): boolean {
  return protocol === "SASL_PLAINTEXT" || protocol === "SASL_SSL";
}

export function usesTls({ protocol }: Pick<Listener, "protocol">): boolean {
  return protocol === "SSL" || protocol === "SASL_SSL";
}

interface ListenerEndpoint {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

function parseEndpoints(text: string, setting: string): ListenerEndpoint[] {
  const endpoints = text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .map((one) => {
      const [, name, address, bracketed, port] =
        /^([A-Za-z][\w-]*):\/\/(([^[\]:/]*)|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(one) ?? [];
      if (name === undefined || address === undefined || Number(port) > 65_535) {
        throw invalid(setting, one, "it is not like PLAINTEXT://127.0.0.1:9092");
      }
      return { name: name.toUpperCase(), host: bracketed ?? address.slice(1, -1), port: Number(port) };
    });
  const names = endpoints.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(setting, text, `it names the listener ${twice} twice`);
  return endpoints;
}

function parseProtocolMap(text: string | null, setting: string): Map<string, SecurityProtocol> {
  const map = new Map<string, SecurityProtocol>();
  for (const one of (text ?? "").split(",").map((part) => part.trim())) {
    if (one === "") continue;
    const [name = "", wanted = ""] = one.toUpperCase().split(":");
    const protocol = protocols.find((known) => known === wanted);
    if (!protocol) throw invalid(setting, one, `it is not a name, a colon and one of ${protocols.join(", ")}`);
    map.set(name, protocol);
  }
  return map;
}

function invalid(setting: string, text: string, why: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `${setting} is ${JSON.stringify(text)}: ${why}`, {
    details: { setting },
  });
}
