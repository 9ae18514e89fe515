/** The table of what the door answers, by API key and version. */
import { invariant } from "../base/errors.ts";
import { apiVersions } from "../kafka/apis/api-versions.ts";
import type { Answer } from "./handler.ts";

export interface ApiRange {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
}

export class Dispatch {
  readonly #answers: (Answer | undefined)[] = [];

  constructor(answers: readonly Answer[]) {
    for (const answer of answers) this.#answers[answer.api.key] = answer;
  }

  /** Undefined for an API or a version that is not there. */
  find(apiKey: number, apiVersion: number): Answer | undefined {
    const answer = this.#answers[apiKey];
    if (!answer) return undefined;
    const [from, to] = answer.api.versions;
    return apiVersion >= from && apiVersion <= to ? answer : undefined;
  }

  /** As ApiVersions tells them. */
  ranges(): ApiRange[] {
    return this.#answers.flatMap((answer) => (answer ? [rangeOf(answer)] : []));
  }

  /** What answers ApiVersions itself. */
  get own(): Answer {
    const answer = this.#answers[apiVersions.key];
    invariant(answer, "ApiVersions is answered");
    return answer;
  }

  ownRange(): ApiRange[] {
    return this.ranges().filter(({ apiKey }) => apiKey === apiVersions.key);
  }
}

function rangeOf({ api }: Answer): ApiRange {
  return { apiKey: api.key, minVersion: api.advertisedFrom ?? api.versions[0], maxVersion: api.versions[1] };
}
