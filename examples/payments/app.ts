import { postgres, sql, stripeSignature, view, webhook } from "millrace";

const { PAYMENTS_API = "", PAYMENTS_KEY = "", PAYMENTS_SECRET = "unset", BOOKS_URL = "" } = process.env;

// Every event of the vendor, once: those that its calls bring, and those that they do not.
export const payments = webhook("payments", {
  verify: stripeSignature(PAYMENTS_SECRET),
  key: (event) => event.data?.object?.id,
  type: (event) => event.type,
  sequence: (event) => event.data?.object?.version,
  reconcile: {
    every: "5s",
    overlap: "1m",
    grace: "2s",
    ratePerSecond: 5,
    async list({ since, until, cursor, fetch }) {
      const query = new URLSearchParams({
        "created[gte]": String(Math.floor(since.getTime() / 1_000)),
        "created[lt]": String(Math.floor(until.getTime() / 1_000)),
        limit: "100",
      });
      if (cursor !== undefined) query.set("starting_after", cursor);
      const answer = await fetch(`${PAYMENTS_API}/v1/events?${query}`, {
        headers: { authorization: `Bearer ${PAYMENTS_KEY}` },
      });
      const page = (await answer.json()) as { data: { id: string }[]; has_more: boolean };
      return {
        events: page.data.map((event) => ({ body: event })),
        next: page.has_more ? page.data.at(-1)?.id : null,
      };
    },
  },
});

// What ledger.ts makes of the events: a table of one's own.
export const books = postgres("books", { url: BOOKS_URL, tables: ["payments"] });

// Who has paid how much, as of the last event that was booked.
export const paidByCustomer = view(
  "paid_by_customer",
  sql`
    select p.customer, count(*) as payments, sum(p.amount) as cents
    from ${books.payments} p
    where p.status = 'paid'
    group by p.customer`,
  { key: "customer" },
);
