/** Why calls of a webhook were refused, in words. Pure. */

export interface Refusal {
  readonly reason: string;
  readonly calls: number;
  readonly about: string;
}

const abouts: Readonly<Record<string, string>> = {
  signature: "Forged, or signed with a secret that is not known here, or too old.",
  size: "The body is larger than the definition allows.",
  mediaType: "The media type is none that is taken.",
  quota: "The source's own quota of calls was used up; the vendor tries again.",
  busy: "Too many bodies were being read at once; the vendor tries again.",
  unavailable: "The log could not be written; the vendor tries again.",
  form: "The call was no request that can be read, or did not arrive in time.",
  method: "Another method than POST, and no challenge.",
  foreign: "A browser sent it for a page of another site.",
};

/** Those that happened, the most frequent first. A reason that this page does not know is told by its name. */
export function refusals(counts: Readonly<Record<string, number>>): Refusal[] {
  return Object.entries(counts)
    .filter(([, calls]) => calls > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, calls]) => ({ reason, calls, about: abouts[reason] ?? "" }));
}
