/** A vendor with a list of its events, which calls the source for some of them. */
import type { ListedEvent, ListPage, ListRequest, ReconcileOptions } from "../../../catalog/define/reconcile.ts";
import type { WebhookDefinition, WebhookOptions } from "../../../catalog/definitions.ts";
import { signed, turn } from "../webhooks.fixture.ts";

export interface VendorEvent {
  readonly id: string;
  readonly atMs: number;
  readonly more?: Readonly<Record<string, unknown>>;
}

export class Vendor {
  readonly events: VendorEvent[] = [];
  /** What was asked, in order. */
  readonly asked: ListRequest[] = [];
  readonly perPage: number;
  /** Called before a page is answered; what it throws, or answers in its place, is the page. */
  before: (request: ListRequest) => unknown = () => undefined;

  constructor(perPage = 3) {
    this.perPage = perPage;
  }

  add(id: string, atMs: number, more: Record<string, unknown> = {}): VendorEvent {
    const event = { id, atMs, more };
    this.events.push(event);
    return event;
  }

  /** Newest first, as vendors do. */
  readonly list = async (request: ListRequest): Promise<ListPage> => {
    this.asked.push(request);
    const other = await this.before(request);
    if (other !== undefined) return other as ListPage;
    const { since, until, cursor } = request;
    const inside = this.events
      .filter(({ atMs }) => atMs >= since.getTime() && atMs < until.getTime())
      .sort((a, b) => b.atMs - a.atMs);
    const from = cursor === undefined ? 0 : inside.findIndex(({ id }) => id === cursor) + 1;
    const page = inside.slice(from, from + this.perPage);
    const next = from + this.perPage < inside.length ? page.at(-1)?.id : undefined;
    return { events: page.map(listed), next };
  };
}

export function bodyOf({ id, atMs, more }: VendorEvent): string {
  return JSON.stringify({ id, atMs, ...more });
}

/** Members in another order, as a list of another program would have them. */
export function listed({ id, atMs, more }: VendorEvent): ListedEvent {
  return { body: { ...more, atMs, id } };
}

export function reconciled(
  vendor: Vendor,
  reconcile: Partial<ReconcileOptions> = {},
  options: Partial<WebhookOptions> = {},
): WebhookDefinition {
  return signed("vendor", {
    id: (event) => event?.id,
    reconcile: { list: vendor.list, ratePerSecond: 1_000, ...reconcile },
    ...options,
  });
}

/** Lets everything go on that needs no time. */
export async function settle(turns = 60): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}
