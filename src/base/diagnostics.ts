/** What the program says about itself, on stderr. The real one is pino (`observe/diagnostics.ts`); `log` is the data log only. */
export interface Diagnostics {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  child(fields: Readonly<Record<string, unknown>>): Diagnostics;
}

export const silentDiagnostics: Diagnostics = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentDiagnostics,
};
