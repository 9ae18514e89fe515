/**
 * A payment vendor as they are on a bad day. Its API is that of Stripe's events: signed calls, and a list with
 * `created[gte]`, `created[lt]`, `starting_after` and `limit`. Of its calls it drops some, sends some two or three times and
 * some late, and somebody forges others; its list refuses now and then with 429.
 */
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface VendorOptions {
  readonly secret: string;
  readonly key: string;
  /** Changes of payments a second. */
  readonly rate: number;
  /** After so many changes it rests; null for never. */
  readonly changesMax: number | null;
}

export interface VendorPayment {
  readonly id: string;
  readonly customer: string;
  /** Cents. */
  readonly amount: number;
  status: "created" | "paid" | "refunded";
  version: number;
}

interface VendorEvent {
  readonly id: string;
  readonly type: string;
  /** Seconds. */
  readonly created: number;
  readonly data: { readonly object: VendorPayment };
}

interface Answer {
  readonly status: number;
  readonly value: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const shares = { dropped: 0.15, doubled: 0.2, delayed: 0.25, forged: 0.1, refusedLists: 0.1 };
const customers = ["Ada", "Grace", "Edsger", "Barbara", "Tony", "Leslie"];

export class Vendor {
  readonly #options: VendorOptions;
  /** So that ids of another start are others. */
  readonly #start = Date.now().toString(36);
  readonly #payments: VendorPayment[] = [];
  readonly #events: VendorEvent[] = [];
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #underWay = new Set<Promise<unknown>>();
  readonly counts = { events: 0, dropped: 0, doubled: 0, delayed: 0, forged: 0, forgedAccepted: 0, refusedLists: 0 };
  #hook = "";
  #changes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: VendorOptions) {
    this.#options = options;
  }

  /** Answers its own address. */
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Begins to trade, and calls this address. */
  trade(hook: string): void {
    this.#hook = hook;
    this.#timer = setInterval(() => this.#change(), 1_000 / this.#options.rate);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#server.closeAllConnections();
    await Promise.allSettled([...this.#underWay, new Promise((resolve) => this.#server.close(resolve))]);
  }

  get #isResting(): boolean {
    const { changesMax } = this.#options;
    return changesMax !== null && this.#changes >= changesMax;
  }

  #change(): void {
    if (this.#isResting) {
      clearInterval(this.#timer);
      return;
    }
    this.#changes++;
    const open = this.#payments.filter(({ status }) => status === "created");
    const paid = this.#payments.filter(({ status }) => status === "paid");
    if (open.length < 3 || chance(0.4)) this.#tell(this.#newPayment());
    else this.#tell(moved(paid.length > 5 && chance(0.2) ? pick(paid) : pick(open)));
  }

  #newPayment(): VendorPayment {
    const id = `pay_${this.#start}_${this.#payments.length + 1}`;
    const amount = 100 + Math.floor(Math.random() * 20_000);
    const payment: VendorPayment = { id, customer: pick(customers), amount, status: "created", version: 1 };
    this.#payments.push(payment);
    return payment;
  }

  #tell(payment: VendorPayment): void {
    const id = `evt_${this.#start}_${this.#events.length + 1}`;
    const created = Math.floor(Date.now() / 1_000);
    const event = { id, type: `payment.${payment.status}`, created, data: { object: { ...payment } } };
    this.#events.push(event);
    this.counts.events++;
    if (chance(shares.forged)) this.#forge(event);
    if (chance(shares.dropped)) {
      this.counts.dropped++;
      return;
    }
    const times = chance(shares.doubled) ? 2 + Math.floor(Math.random() * 2) : 1;
    if (times > 1) this.counts.doubled++;
    for (let i = 0; i < times; i++) {
      const isDelayed = chance(shares.delayed);
      if (isDelayed) this.counts.delayed++;
      this.#deliver(event, this.#options.secret, isDelayed ? Math.random() * 3_000 : 0);
    }
  }

  /** Somebody who does not know the secret says that a payment was made. */
  #forge({ id, data }: VendorEvent): void {
    this.counts.forged++;
    const object = { ...data.object, amount: 1_000_000, status: "paid" as const, version: 1_000 };
    const event = {
      id: `${id}_forged`,
      type: "payment.paid",
      created: Math.floor(Date.now() / 1_000),
      data: { object },
    };
    this.#deliver(event, "guessed", 0, (status) => {
      if (status < 300) this.counts.forgedAccepted++;
    });
  }

  /** Tried once: what is not taken is in the list. */
  #deliver(event: VendorEvent, secret: string, delayMs: number, onStatus: (status: number) => void = () => {}): void {
    const delivery = (async () => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const body = JSON.stringify(event);
      const time = Math.floor(Date.now() / 1_000);
      const signature = createHmac("sha256", secret).update(`${time}.${body}`).digest("hex");
      const headers = { "content-type": "application/json", "stripe-signature": `t=${time},v1=${signature}` };
      const answer = await fetch(this.#hook, { method: "POST", headers, body });
      await answer.arrayBuffer();
      onStatus(answer.status);
    })();
    const ended = delivery.catch(() => {}).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { status, value, headers = {} } = this.#answerTo(request);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  }

  #answerTo({ url, headers }: IncomingMessage): Answer {
    const { pathname, searchParams } = new URL(url ?? "/", "http://vendor");
    if (headers.authorization !== `Bearer ${this.#options.key}`)
      return { status: 401, value: { error: "no such key" } };
    if (pathname === "/v1/payments") {
      const resting = this.#isResting && this.#underWay.size === 0;
      return { status: 200, value: { data: this.#payments, resting, counts: this.counts } };
    }
    if (pathname !== "/v1/events") return { status: 404, value: { error: "nothing here" } };
    if (chance(shares.refusedLists)) {
      this.counts.refusedLists++;
      return { status: 429, value: { error: "slow down" }, headers: { "retry-after": "1" } };
    }
    return { status: 200, value: this.#list(searchParams) };
  }

  /** Newest first. */
  #list(query: URLSearchParams) {
    const from = Number(query.get("created[gte]") ?? 0);
    const to = Number(query.get("created[lt]") ?? Number.POSITIVE_INFINITY);
    const limit = Math.min(100, Number(query.get("limit") ?? 10));
    const all = this.#events.filter(({ created }) => created >= from && created < to).reverse();
    const begin = all.findIndex(({ id }) => id === query.get("starting_after")) + 1;
    const data = all.slice(begin, begin + limit);
    return { object: "list", data, has_more: begin + limit < all.length };
  }
}

function moved(payment: VendorPayment): VendorPayment {
  payment.status = payment.status === "created" ? "paid" : "refunded";
  payment.version++;
  return payment;
}

function pick<T>(from: readonly T[]): T {
  return from[Math.floor(Math.random() * from.length)] as T;
}

function chance(share: number): boolean {
  return Math.random() < share;
}
