/** True for paths of the programming interface; all others are the console's. */
export function isInterface(path: string): boolean {
  return isRegistry(path) || /^\/(v1|healthz|readyz|metrics|openapi\.json)(\/|$)/.test(path);
}

/** Paths whose answers, errors too, have the form of Confluent's registry. */
export function isRegistry(path: string): boolean {
  return /^\/registry(\/|$)/.test(path);
}

/** Targets of calls that other people's servers make, from any name and any origin: what they call is verified by itself. */
export function isHook(target: string): boolean {
  return /^(https?:\/\/[^/?#]*)?\/v1\/hooks\/[^/?#]+(\?|$)/i.test(target);
}
