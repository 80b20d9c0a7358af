/** A server of a section as HAProxy has it. */
export interface ServerState {
  /** `address:port`; also its name. */
  readonly backend: string;
  /** New connections go to it. */
  readonly open: boolean;
}

/** Reads the answer to `show servers state`: the servers of each section. */
export function readServers(answer: string): Map<string, ServerState[]> {
  const found = new Map<string, ServerState[]>();
  for (const line of answer.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [, section, , backend, , , adminState] = words;
    if (words.length < 20 || line.startsWith('#') || section === undefined || backend === undefined) continue;
    const list = found.get(section) ?? [];
    list.push({ backend, open: adminState === '0' });
    found.set(section, list);
  }
  return found;
}

/**
 * The commands that bring a section's servers to `wanted`. One that leaves takes no new connections and is deleted when it has
 * none left: until then each call asks for it again. One that comes back is opened again. A settled section gives `[]`,
 * but for the deletions that wait.
 */
export function commandsFor(section: string, actual: readonly ServerState[], wanted: readonly string[]): string[] {
  const byBackend = new Map(actual.map((server) => [server.backend, server]));
  const commands: string[] = [];
  for (const backend of wanted) {
    const server = byBackend.get(backend);
    const name = `${section}/${backend}`;
    if (server === undefined) commands.push(`add server ${name} ${backend}`, `set server ${name} state ready`);
    else if (!server.open) commands.push(`set server ${name} state ready`);
  }
  const stays = new Set(wanted);
  for (const { backend, open } of actual) {
    if (stays.has(backend)) continue;
    const name = `${section}/${backend}`;
    if (open) commands.push(`set server ${name} state maint`);
    commands.push(`del server ${name}`);
  }
  return commands;
}

/** Whether new connections go to exactly the wanted endpoints. */
export function isSettled(actual: readonly ServerState[], wanted: readonly string[]): boolean {
  const open = new Set(actual.filter((server) => server.open).map(({ backend }) => backend));
  return open.size === wanted.length && wanted.every((backend) => open.has(backend));
}
