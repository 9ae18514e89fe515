/** The embedded server's settings, as text. Pure. */

export interface Machine {
  readonly memoryBytes: number;
  /** Where shared memory of parallel queries lives; null where that is no file system. */
  readonly sharedMemoryBytes: number | null;
}

const MiB = 1024 ** 2;

/**
 * `postgresql.conf`, written at each start. What a user wants otherwise stands in a file beside the data directory, which
 * is read last when there is one; what must not be otherwise is on the command line (`pinnedSettings`) and wins over both.
 */
export function settingsFile(machine: Machine, localFile: string | null): string {
  const share = (parts: number, leastMiB: number, mostMiB: number) =>
    `${Math.round(Math.min(mostMiB, Math.max(leastMiB, machine.memoryBytes / parts / MiB)))}MB`;
  const settings: Record<string, string | number> = {
    shared_buffers: share(8, 64, 1024),
    effective_cache_size: share(2, 128, 65_536),
    work_mem: share(512, 4, 32),
    maintenance_work_mem: share(32, 32, 256),
    max_connections: 100,
    superuser_reserved_connections: 5,
    max_replication_slots: 20,
    max_wal_senders: 20,
    max_logical_replication_workers: 0,
    // A batch that touches a thousand views locks their tables, indexes and temporary tables, all in one transaction.
    max_locks_per_transaction: 512,
    max_wal_size: "1GB",
    random_page_cost: "1.1",
    jit: "off",
    autovacuum_naptime: "10s",
    default_text_search_config: "pg_catalog.english",
  };
  // Containers often have 64 MB there, which one parallel hash join fills.
  if (machine.sharedMemoryBytes !== null && machine.sharedMemoryBytes < 256 * MiB) {
    settings.dynamic_shared_memory_type = "mmap";
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`);
  return [
    "# Written by Millrace at each start. Settings of your own belong into postgresql.local.conf, one folder up.",
    ...lines,
    localFile === null ? "" : `include = '${localFile.replaceAll("'", "''")}'`,
    "",
  ].join("\n");
}

export interface Pinned {
  readonly dataDirectory: string;
  readonly port: number;
  /** Null: loopback only, because the path would be too long for a socket. */
  readonly socketDirectory: string | null;
}

/** The command line: durability, the addresses, and what is read from the server's diagnostics. */
export function pinnedSettings(pinned: Pinned): string[] {
  const settings: Record<string, string | number> = {
    listen_addresses: "127.0.0.1",
    port: pinned.port,
    unix_socket_directories: pinned.socketDirectory === null ? "" : `"${pinned.socketDirectory.replaceAll('"', '""')}"`,
    unix_socket_permissions: "0700",
    fsync: "on",
    full_page_writes: "on",
    wal_level: "logical",
    restart_after_crash: "on",
    ssl: "off",
    password_encryption: "scram-sha-256",
    timezone: "UTC",
    log_timezone: "UTC",
    logging_collector: "off",
    log_destination: "stderr",
    log_line_prefix: "",
    // Errors of statements go to whoever sent the statement; the server's own lines and what ends a connection come here.
    log_min_messages: "log",
    log_checkpoints: "off",
    log_statement: "none",
    log_replication_commands: "off",
  };
  return [
    "-D",
    pinned.dataDirectory,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
}

/** `pg_hba.conf`: a password on every way in, and no way in but loopback and the socket. */
export const accessFile = `# Written by Millrace at each start.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
`;

/** Null when a socket in this folder would have a longer name than macOS (104 bytes with the end mark) and Linux take. */
export function socketDirectoryOrNull(directory: string): string | null {
  return Buffer.byteLength(`${directory}/.s.PGSQL.65535`) < 104 ? directory : null;
}
