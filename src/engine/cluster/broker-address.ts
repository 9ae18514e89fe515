/** Where a broker listens, as people write it: `kafka-1:9092,kafka-2:9092`, `[::1]:9092`. */
import { MillraceError } from "../../base/errors.ts";

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

const brokersMax = 100;
const addressForm = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

/** Of one or several, parted by commas. Throws `SETTING_INVALID`, naming `setting`. */
export function parseBrokerAddresses(text: string, setting: string): BrokerAddress[] {
  const parts = text.split(",").map((part) => part.trim());
  if (parts.length > brokersMax) throw invalid(setting, `names more than ${brokersMax} brokers`);
  return parts.map((part) => {
    const [, ipv6, name, digits] = addressForm.exec(part) ?? [];
    const host = ipv6 ?? name;
    const port = Number(digits);
    if (host !== undefined && port >= 1 && port <= 65_535) return { host, port };
    throw invalid(setting, `has ${JSON.stringify(part.slice(0, 100))}, which is no host:port`);
  });
}

export function printAddress({ host, port }: BrokerAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function invalid(setting: string, why: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `${setting} ${why}`, {
    hint: `Set ${setting} to the addresses of one or more brokers, as kafka-1:9092,kafka-2:9092.`,
    details: { setting },
  });
}
