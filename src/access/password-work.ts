/**
 * Passwords salted in the thread pool, few at a time: the pool also writes the log, and a login must not stand before
 * a record. Who comes when too many wait is refused.
 */
import { Gate } from "../base/gate.ts";
import { type ScramMechanism, saltPassword } from "./scram-keys.ts";

export interface PasswordWorkLimits {
  readonly atOnceMax: number;
  readonly waitingMax: number;
}

const defaultLimits: PasswordWorkLimits = { atOnceMax: 1, waitingMax: 1_000 };

export class PasswordWork {
  readonly #gate: Gate;
  readonly #limits: PasswordWorkLimits;
  #waiting = 0;

  constructor(limits: Partial<PasswordWorkLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
    this.#gate = new Gate(this.#limits.atOnceMax);
  }

  /** Undefined when too many wait already. */
  async salted(
    mechanism: ScramMechanism,
    password: string,
    salt: Buffer,
    iterations: number,
  ): Promise<Buffer | undefined> {
    if (this.#waiting >= this.#limits.waitingMax) return undefined;
    this.#waiting++;
    try {
      return await this.#gate.run(() => saltPassword(mechanism, password, salt, iterations));
    } finally {
      this.#waiting--;
    }
  }
}
