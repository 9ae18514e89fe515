/**
 * Who a connection is. Without authentication it is somebody at once; with SASL it is nobody until a mechanism is through,
 * and may ask only for what leads there.
 */
export interface ConnectionSession {
  /** `User:alice`; null as long as it is not known. */
  readonly principal: string | null;
  /** True between SaslHandshake 0 and the end of its mechanism: frames are tokens without a header. */
  readonly takesRawFrames: boolean;
  mayAsk(apiKey: number): boolean;
  authenticateRaw(token: Buffer): Promise<{ readonly response: Buffer; readonly isRefused: boolean }>;
}

/** For listeners where nobody authenticates, or where the certificate says who it is. */
export function openSession(principal: string): ConnectionSession {
  return {
    principal,
    takesRawFrames: false,
    mayAsk: () => true,
    authenticateRaw: () => Promise.resolve({ response: Buffer.alloc(0), isRefused: true }),
  };
}
