/** Numbers and times for people; the same width from one second to the next where that can be had. */
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function count(n: number): string {
  return whole.format(n);
}

export function rate(perSecond: number): string {
  return perSecond >= 10 || perSecond === 0 ? count(perSecond) : perSecond.toFixed(1);
}

export function bytes(n: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let i = 0;
  let value = n;
  while (value >= 1024 && i < units.length - 1) {
    value /= 1024;
    i++;
  }
  return `${i === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[i]}`;
}

export function milliseconds(ms: number): string {
  if (ms < 1_000) return `${ms.toFixed(0)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${(ms / 60_000).toFixed(0)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export function day(timestamp: number | string): string {
  return date.format(new Date(timestamp));
}

export function clock(timestamp: number | string): string {
  return time.format(new Date(timestamp));
}

/** A cell: strings as they are, everything else as JSON. */
export function cell(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function isNumeric(type: string): boolean {
  return /^(smallint|integer|bigint|numeric|real|double precision|int[248]|float[48])/.test(type);
}

export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}
