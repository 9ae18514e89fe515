/** The code of docs/guide/client.md; `src/guide.test.ts` runs it. */
import { connect, MillraceClientError, type TopicEvent } from "@millrace/client";
import type { Views } from "../../examples/shop/millrace-env.d.ts";

export async function read(url: string) {
  const millrace = connect<{ views: Views }>(url, { key: "the server's MILLRACE_KEY" });

  const page = await millrace.view("order_cards").rows({
    where: { status: "paid", total: { gte: "100" } },
    order: "total.desc",
    limit: 20,
  });
  const card = await millrace.view("order_cards").get("4711");
  return { page, card };
}

export async function follow(url: string, show: (cards: Iterable<Views["order_cards"]>) => void) {
  const millrace = connect<{ views: Views }>(url);
  const cards = millrace.view("order_cards").live({
    where: { status: { in: ["paid", "packed"] } },
    onStatus: (status) => console.debug(status.kind),
    onGap: (gap) => console.warn(gap.reason),
  });
  for await (const { rows } of cards) show(rows.values());
}

export async function topics(url: string, stop: AbortSignal) {
  const clicks = connect<{ topics: { clicks: { page: string } } }>(url).topic("clicks");

  await clicks.publish({ key: "visitor-1", value: { page: "/shop" } });
  const { events, next } = await clicks.events({ from: "earliest", limit: 100 });
  for await (const { events, gap } of clicks.live({ from: next, signal: stop })) {
    if (gap) console.warn(gap.reason);
    for (const { value } of events) console.log(value?.page);
  }
  return events;
}

export async function deposit(url: string, last: TopicEvent<{ balance: number }>, amount: number) {
  const accounts = connect<{ topics: { accounts: { balance: number } } }>(url).topic("accounts");

  const event = { key: last.key, value: { balance: (last.value?.balance ?? 0) + amount } };
  try {
    await accounts.publish(event, { idempotencyKey: crypto.randomUUID(), expectedOffset: last.offset });
  } catch (error) {
    if (!(error instanceof MillraceClientError) || error.code !== "KEY_OFFSET_MISMATCH") throw error;
    return error.details.offset; // Somebody was faster: here is the account's last event now.
  }
  return undefined;
}

export async function refusals(url: string) {
  const cards = connect(url).view("order_cards");
  try {
    return await cards.rows({ where: { totl: 5 } });
  } catch (error) {
    if (!(error instanceof MillraceClientError)) throw error;
    return `${error.code}: ${error.message} ${error.hint}`;
  }
}
