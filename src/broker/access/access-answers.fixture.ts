/** Access without sockets: requests go through the wire's form and the door's handlers. */
import { Access, type AccessSettings } from "../../access/access.ts";
import { MemoryCatalogue } from "../../access/catalogue.fixture.ts";
import { QuotaTable } from "../../access/quota-table.ts";
import { ScramCredentials } from "../../access/scram-credentials.ts";
import { seededRandom } from "../../base/random.ts";
import type { Api, RequestInput, ResponseOf } from "../../kafka/fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  readRequestHeader,
} from "../../kafka/frames.ts";
import type { Answer, RequestContext } from "../handler.ts";
import { type ConnectionSession, openSession } from "../session.ts";
import { accessAnswers } from "./access-answers.ts";

export interface AskOptions {
  readonly version?: number;
  readonly principal?: string;
  readonly session?: ConnectionSession;
}

export class AccessDoor {
  readonly access: Access;
  readonly quotas: QuotaTable;
  readonly credentials: ScramCredentials;
  readonly #answers: readonly Answer[];
  /** Answers behind which the connection is closed. */
  closed = 0;

  private constructor(catalogue: MemoryCatalogue, settings: Partial<AccessSettings>, credentials: ScramCredentials) {
    this.access = new Access(catalogue, settings);
    this.quotas = new QuotaTable(catalogue);
    this.credentials = credentials;
    this.#answers = accessAnswers(this);
  }

  static async open(settings: Partial<AccessSettings> = { authorization: true, superUsers: ["User:root"] }) {
    const catalogue = new MemoryCatalogue();
    return new AccessDoor(catalogue, settings, await ScramCredentials.open(catalogue, seededRandom(1)));
  }

  async ask<A extends Api>(api: A, request: RequestInput<A>, options: AskOptions = {}): Promise<ResponseOf<A>> {
    const { version = api.versions[1], principal = "User:root", session = openSession(principal) } = options;
    const answer = this.#answers.find((each) => each.api === api);
    if (!answer) throw new Error(`${api.name} is not answered`);
    const frame = Buffer.concat(encodeRequestFrame(api, version, 1, "app", request)).subarray(frameLengthBytes);
    const { bodyPosition } = readRequestHeader(frame);
    const context: RequestContext = {
      apiVersion: version,
      correlationId: 1,
      clientId: "app",
      principal,
      address: "10.0.0.1",
      localAddress: "127.0.0.1",
      listener: "SASL_SSL",
      signal: new AbortController().signal,
      session,
      allows: (verb, kind, name) => this.access.allows(principal, "10.0.0.1", verb, kind, name),
      afterSent: (release) => release(),
      throttle: () => undefined,
      closeAfter: () => void this.closed++,
    };
    const response = await answer.handle(decodeRequest(api, version, frame, bodyPosition), context);
    const encoded = Buffer.concat(encodeResponseFrame(api, version, 1, response as never));
    return decodeResponseFrame(api, version, encoded.subarray(frameLengthBytes)).response;
  }
}
