/** What a code says beside its name. */
export type ErrorAction = "retry" | "fix-request" | "fix-setup" | "wait" | "call-operator";

export interface ErrorCodeEntry {
  readonly http: number;
  readonly exit: 1 | 2 | 3 | 4;
  readonly action: ErrorAction;
  readonly kafka?: string;
  /** One sentence for the reference. */
  readonly about: string;
}
