/** The name under which the engine knows `late-hostname.sh`. */
export const lateHostnameRuntime = 'troupe';
/** What a sandbox is called that has no pod yet; `late-hostname.sh` replaces it in the containers that join it. */
export const lateHostname = 'troupe-warm';
