/** True for paths of the programming interface; all others are the console's. */
export function isInterface(path: string): boolean {
  return /^\/(v1|healthz|readyz|metrics|openapi\.json)(\/|$)/.test(path);
}
