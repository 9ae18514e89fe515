/**
 * Who may do what: the rules of the catalogue, and the operator's settings.
 *
 * Always true: without `authorization` nothing is refused, and rules can neither be read nor written. A rule that was
 * added or removed holds when the call resolves; other processes follow with the catalogue. The catalogue's own topic,
 * where keys and credentials are, is nobody's to see through a door: not a super user's, and with or without
 * authorization.
 */
import { MillraceError } from "../base/errors.ts";
import { catalogueTopicName } from "../catalog/catalogue-records.ts";
import type { Catalogue } from "../catalog/catalogue-topic.ts";
import { type AccessFilter, fitsFilter } from "./access-filter.ts";
import { AccessIndex } from "./access-index.ts";
import {
  type AccessDefaults,
  type AccessRule,
  type NounKind,
  nounKinds,
  ruleKey,
  ruleOfKey,
  type Verb,
  verbs,
} from "./access-rules.ts";

const catalogueKind = "access-rule";

export interface AccessSettings {
  /** Kafka's authorizer.class.name: false until the operator turns it on. */
  readonly authorization: boolean;
  /** `User:alice`: never refused (super.users). */
  readonly superUsers: readonly string[];
  /** allow.everyone.if.no.acl.found */
  readonly openWithoutRule: boolean;
  readonly rulesMax: number;
}

export const defaultAccessSettings: AccessSettings = {
  authorization: false,
  superUsers: [],
  openWithoutRule: false,
  rulesMax: 50_000,
};

/** Nouns of which a caller remembers what it may do to them. */
const rememberedNounsMax = 256;

/** What one principal from one address may do; kept by a connection, since it remembers. */
export interface Caller {
  readonly principal: string;
  readonly host: string;
  allows(verb: Verb, kind: NounKind, name: string): boolean;
  /** Whether there is a noun of the kind that it may do it to. */
  allowsAny(verb: Verb, kind: NounKind): boolean;
}

export class Access {
  readonly #catalogue: Catalogue;
  readonly #settings: AccessSettings;
  readonly #defaults: AccessDefaults;
  readonly #index = new AccessIndex();
  readonly #stop: () => void;
  /** Grows with every change of the rules. */
  #version = 0;

  constructor(catalogue: Catalogue, settings: Partial<AccessSettings> = {}) {
    this.#catalogue = catalogue;
    this.#settings = { ...defaultAccessSettings, ...settings };
    const { superUsers, openWithoutRule } = this.#settings;
    this.#defaults = { superUsers: new Set(superUsers), openWithoutRule };
    for (const key of catalogue.list(catalogueKind).keys()) this.#follow(key, true);
    this.#stop = catalogue.onChange(catalogueKind, ({ key, value }) => this.#follow(key, value !== undefined));
  }

  get isEnforced(): boolean {
    return this.#settings.authorization;
  }

  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#index.size;
  }

  allows(principal: string, host: string, verb: Verb, kind: NounKind, name: string): boolean {
    if (kind === "topic" && name === catalogueTopicName) return false;
    return !this.isEnforced || this.#index.allows(principal, host, verb, kind, name, this.#defaults);
  }

  allowsAny(principal: string, host: string, verb: Verb, kind: NounKind): boolean {
    return !this.isEnforced || this.#index.allowsAny(principal, host, verb, kind, this.#defaults);
  }

  caller(principal: string, host: string): Caller {
    return new RememberingCaller(this, principal, host);
  }

  /** Those that the filter means. */
  find(filter: AccessFilter): AccessRule[] {
    const found: AccessRule[] = [];
    for (const rule of this.#index.rules()) if (fitsFilter(rule, filter)) found.push(rule);
    return found;
  }

  /** All or none; those that are there already stay as they are. Throws `REQUEST_INVALID` beyond `rulesMax`. */
  async add(rules: readonly AccessRule[]): Promise<void> {
    const fresh = [...new Set(rules.map(ruleKey))].filter((key) => !this.#index.has(key));
    const { rulesMax } = this.#settings;
    if (this.#index.size + fresh.length > rulesMax) {
      throw new MillraceError("REQUEST_INVALID", `there can be ${rulesMax} rules of access`, {
        hint: "Write one rule for a prefix in place of many for names.",
        details: { rulesMax },
      });
    }
    await this.#catalogue.change(fresh.map((key) => ({ kind: catalogueKind, key, value: true })));
  }

  /** All or none. */
  async remove(rules: readonly AccessRule[]): Promise<void> {
    const keys = [...new Set(rules.map(ruleKey))].filter((key) => this.#index.has(key));
    await this.#catalogue.change(keys.map((key) => ({ kind: catalogueKind, key, value: undefined })));
  }

  close(): void {
    this.#stop();
  }

  #follow(key: string, isThere: boolean): void {
    const rule = ruleOfKey(key);
    if (!rule) return;
    const hasChanged = isThere ? this.#index.add(rule) : this.#index.remove(ruleKey(rule));
    if (hasChanged) this.#version++;
  }
}

class RememberingCaller implements Caller {
  readonly #access: Access;
  readonly principal: string;
  readonly host: string;
  /** By kind, then name: two bits for each verb, whether it is known and whether it is allowed. */
  readonly #kinds: Map<string, number>[] = nounKinds.map(() => new Map());
  #remembered = 0;
  #version: number;

  constructor(access: Access, principal: string, host: string) {
    this.#access = access;
    this.principal = principal;
    this.host = host;
    this.#version = access.version;
  }

  allows(verb: Verb, kind: NounKind, name: string): boolean {
    if (!this.#access.isEnforced) return this.#access.allows(this.principal, this.host, verb, kind, name);
    if (this.#version !== this.#access.version) this.#forget();
    const nouns = this.#kinds[nounKinds.indexOf(kind)] as Map<string, number>;
    const known = nouns.get(name);
    const bit = 1 << (2 * verbs.indexOf(verb));
    if (known !== undefined && (known & bit) !== 0) return (known & (bit << 1)) !== 0;
    const isAllowed = this.#access.allows(this.principal, this.host, verb, kind, name);
    if (known === undefined && this.#remembered++ >= rememberedNounsMax) {
      this.#forget();
      this.#remembered = 1;
    }
    nouns.set(name, (nouns.get(name) ?? 0) | bit | (isAllowed ? bit << 1 : 0));
    return isAllowed;
  }

  allowsAny(verb: Verb, kind: NounKind): boolean {
    return this.#access.allowsAny(this.principal, this.host, verb, kind);
  }

  #forget(): void {
    for (const nouns of this.#kinds) nouns.clear();
    this.#remembered = 0;
    this.#version = this.#access.version;
  }
}
