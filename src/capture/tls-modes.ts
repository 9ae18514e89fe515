/**
 * What an address of PostgreSQL asks for of TLS, by the rules of libpq ("SSL Support" of PostgreSQL's manual), as a plan
 * of tries. The client's own reading of these parameters differs: it takes `prefer` and `require` for `verify-full`, and
 * does without TLS where nothing is said.
 *
 * Not as libpq has it: no file is looked for in the home folder, and `verify-full` without `sslrootcert` trusts the
 * authorities of Node.js.
 */
export type SslMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full" | "no-verify";
export type ChannelBinding = "disable" | "prefer" | "require";

/** One way to connect. */
export type ConnectTry =
  | { readonly tls: false }
  | { readonly tls: true; readonly verify: "nothing" | "authority" | "authority and name"; readonly bind: boolean };

export interface ConnectPlan {
  /** The address without what is said here. */
  readonly url: string;
  /** In order. */
  readonly tries: readonly ConnectTry[];
  readonly binding: ChannelBinding;
  /** Paths of PEM files. `authority` null: those of Node.js. */
  readonly files: {
    readonly authority: string | null;
    readonly certificate: string | null;
    readonly key: string | null;
  };
  readonly keyPassword: string | null;
  readonly versionMin: "TLSv1.2" | "TLSv1.3" | null;
  /** TLS from the first byte, without asking the server for it (17 and later). */
  readonly direct: boolean;
}

/** A plan, or what is wrong with the address. */
export type PlanOutcome = { readonly plan: ConnectPlan } | { readonly fault: string };

const modes: readonly string[] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify"];
const bindings: readonly string[] = ["disable", "prefer", "require"];

/** They make a connection safer in libpq. What would be passed over in silence is refused. */
const notKept = ["sslcrl", "sslcrldir", "requirepeer", "require_auth", "sslcertmode", "ssl_max_protocol_version"];

const ours = [
  "ssl",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslpassword",
  "sslnegotiation",
  "ssl_min_protocol_version",
  "channel_binding",
  "uselibpqcompat",
];

export function planConnect(address: string): PlanOutcome {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    // What the parser says has the address in it, and with it the password.
    return { fault: "it is no address like postgres://user:password@host:5432/database" };
  }
  const said = (name: string): string | null => url.searchParams.get(name);
  for (const name of notKept) {
    if (said(name) !== null) return { fault: `${name} is not kept here` };
  }
  if (said("gssencmode") === "require") return { fault: "gssencmode=require: GSSAPI encryption is not spoken here" };
  const authority = said("sslrootcert") === "system" ? null : said("sslrootcert");
  const mode = modeOf(said("sslmode"), said("ssl"), said("sslrootcert"));
  if (mode === null) return { fault: `sslmode=${said("sslmode") ?? said("ssl")} is none of ${modes.join(", ")}` };
  const binding = said("channel_binding") ?? "prefer";
  if (!bindings.includes(binding)) return { fault: `channel_binding=${binding} is none of ${bindings.join(", ")}` };
  if (said("sslrootcert") === "system" && mode !== "verify-full") {
    return { fault: `sslrootcert=system needs sslmode=verify-full, and it is ${mode}` };
  }
  if (mode === "verify-ca" && authority === null) {
    return {
      fault:
        "sslmode=verify-ca needs sslrootcert, the file of an authority of your own: among all public ones it proves nothing",
    };
  }
  const direct = said("sslnegotiation") === "direct";
  if (direct && (mode === "disable" || mode === "allow" || mode === "prefer")) {
    return { fault: `sslnegotiation=direct needs sslmode=require or stronger, and it is ${mode}` };
  }
  const version = said("ssl_min_protocol_version");
  if (version !== null && !/^TLSv1(\.[0-3])?$/.test(version)) {
    return { fault: `ssl_min_protocol_version=${version} is no version of TLS` };
  }
  if ((said("sslcert") === null) !== (said("sslkey") === null)) return { fault: "sslcert and sslkey go together" };
  const local = url.hostname === "" || /^%2f/i.test(url.hostname) || (said("host") ?? "").startsWith("/");
  const tries = local ? [{ tls: false } as const] : triesOf(mode, authority !== null, binding as ChannelBinding);
  if (binding === "require" && !tries.some(({ tls }) => tls)) {
    return { fault: "channel_binding=require needs TLS" };
  }
  const files = { authority, certificate: said("sslcert"), key: said("sslkey") };
  const keyPassword = said("sslpassword");
  for (const name of ours) url.searchParams.delete(name);
  return {
    plan: {
      url: url.href,
      tries,
      binding: binding as ChannelBinding,
      files,
      keyPassword,
      versionMin: version === "TLSv1.2" || version === "TLSv1.3" ? version : null,
      direct,
    },
  };
}

function modeOf(sslmode: string | null, ssl: string | null, authority: string | null): SslMode | null {
  if (sslmode !== null) return modes.includes(sslmode) ? (sslmode as SslMode) : null;
  // JDBC's form, which libpq takes as well, and forms that Node.js programs use.
  if (ssl === "true" || ssl === "1") return "require";
  if (ssl === "false" || ssl === "0") return "disable";
  if (ssl === "no-verify") return "no-verify";
  if (ssl !== null) return null;
  return authority === "system" ? "verify-full" : "prefer";
}

function triesOf(mode: SslMode, hasAuthority: boolean, binding: ChannelBinding): ConnectTry[] {
  const bind = binding !== "disable";
  const open = { tls: false } as const;
  const unverified = { tls: true, verify: "nothing", bind } as const;
  const plain = binding === "require" ? [] : [open];
  switch (mode) {
    case "disable":
      return [open];
    case "allow":
      return [...plain, unverified];
    case "prefer":
      return [unverified, ...plain];
    case "no-verify":
      return [unverified];
    case "require":
      // With an authority named it is verified, which libpq keeps for older programs' sake.
      return [hasAuthority ? { tls: true, verify: "authority", bind } : unverified];
    case "verify-ca":
      return [{ tls: true, verify: "authority", bind }];
    case "verify-full":
      return [{ tls: true, verify: "authority and name", bind }];
  }
}

/** The address without its passwords. */
export function publicUrl(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password !== "") parsed.password = "";
    for (const name of ["password", "sslpassword"]) parsed.searchParams.delete(name);
    return parsed.href;
  } catch {
    return "postgres://(unreadable)";
  }
}
