/**
 * Books the events of the topic `payments`, each once: what it changes and how far it came are one transaction, so that a
 * kill repeats nothing and loses nothing. The newest version of a payment wins, in whatever order events come.
 */
import pg from "pg";

export interface LedgerOptions {
  /** Of the books. */
  readonly url: string;
  /** Of Millrace. */
  readonly address: string;
  readonly signal: AbortSignal;
}

interface Payment {
  readonly id: string;
  readonly customer: string;
  readonly amount: number;
  readonly status: string;
  readonly version: number;
}

interface Page {
  readonly events: readonly { readonly value: { readonly data?: { readonly object?: Payment } } }[];
  readonly next: string;
}

const topic = "payments";

const book = `
  insert into payments (id, customer, amount, status, version) values ($1, $2, $3, $4, $5)
  on conflict (id) do update
  set customer = excluded.customer, amount = excluded.amount, status = excluded.status, version = excluded.version
  where payments.version < excluded.version`;

const remember = `
  insert into booked (topic, cursor) values ($1, $2)
  on conflict (topic) do update set cursor = excluded.cursor`;

/** Runs until the signal is aborted; a database or a Millrace that goes away is waited for. */
export async function keepBooks({ url, address, signal }: LedgerOptions): Promise<void> {
  while (!signal.aborted) {
    const client = new pg.Client({ connectionString: url, application_name: "ledger" });
    client.on("error", () => {});
    try {
      await client.connect();
      while (!signal.aborted) await bookPage(client, address, signal);
    } catch (error) {
      if (signal.aborted) return;
      console.error(`ledger: ${error instanceof Error ? error.message : error}; again in a second`);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    } finally {
      await client.end().catch(() => {});
    }
  }
}

async function bookPage(client: pg.Client, address: string, signal: AbortSignal): Promise<void> {
  const { rows } = await client.query<{ cursor: string }>("select cursor from booked where topic = $1", [topic]);
  const from = rows[0]?.cursor ?? "earliest";
  const query = new URLSearchParams({ from, limit: "500", wait: "10s" });
  const answer = await fetch(`${address}/v1/topics/${topic}/events?${query}`, { signal });
  if (!answer.ok) throw new Error(`reading ${topic} answered ${answer.status}: ${await answer.text()}`);
  const { events, next } = (await answer.json()) as Page;
  await client.query("begin");
  for (const { value } of events) {
    const payment = value.data?.object;
    if (!payment) continue;
    await client.query(book, [payment.id, payment.customer, payment.amount, payment.status, payment.version]);
  }
  await client.query(remember, [topic, next]);
  await client.query("commit");
}
