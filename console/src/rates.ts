/** Rates from counters that are asked for again and again. */
import { useRef } from "preact/hooks";

interface Sample {
  readonly at: number;
  readonly value: number;
}

/** Per second over the last five seconds of answers, for each named counter; a counter that fell began anew. */
export function useRates(counters: Readonly<Record<string, number>> | null): Readonly<Record<string, number>> {
  const history = useRef(new Map<string, Sample[]>());
  const rates: Record<string, number> = {};
  if (counters === null) return rates;
  const at = performance.now();
  for (const [name, value] of Object.entries(counters)) {
    let samples = history.current.get(name) ?? [];
    const last = samples.at(-1);
    if (last && value < last.value) samples = [];
    if (!last || at - last.at > 500) samples = [...samples, { at, value }].filter((sample) => at - sample.at < 5_500);
    history.current.set(name, samples);
    const first = samples[0];
    rates[name] = first && at - first.at > 400 ? (value - first.value) / ((at - first.at) / 1_000) : 0;
  }
  return rates;
}
