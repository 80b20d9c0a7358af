import { configReferences, type ConfigReference } from '../../lib/api/config-change.ts';
import type { FileSource, Pod, Volume } from '../../lib/api/objects.ts';
import { ConfigMissing, fieldOf } from '../environment.ts';
import { quantityIn } from '../resource-amount.ts';
import { kindOf, VolumeError, type ConfigReader } from './driver.ts';
import type { TreeFile } from './file-tree.ts';

interface DownwardItem {
  readonly path: string;
  readonly mode?: number;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: { readonly containerName?: string; readonly resource: string; readonly divisor?: string };
}
/** One source of a projected volume. */
export interface Projection {
  readonly configMap?: FileSource & { readonly name?: string };
  readonly secret?: FileSource & { readonly name?: string };
  readonly downwardAPI?: { readonly items?: readonly DownwardItem[] };
  readonly serviceAccountToken?: {
    readonly audience?: string;
    readonly expirationSeconds?: number;
    readonly path: string;
  };
}

const defaultMode = 0o644;

/** What a volume that is filled from the API is made of, with the mode that its files have unless they say otherwise. */
function sourcesOf(volume: Volume): { readonly sources: readonly Projection[]; readonly mode: number } {
  const { configMap, secret, downwardAPI, projected } = volume;
  const given = configMap ?? secret ?? downwardAPI ?? projected;
  const mode = given?.defaultMode ?? defaultMode;
  if (configMap !== undefined) return { sources: [{ configMap }], mode };
  if (secret !== undefined) return { sources: [{ secret: { ...secret, name: secret.secretName ?? '' } }], mode };
  if (downwardAPI !== undefined)
    return { sources: [{ downwardAPI: downwardAPI as NonNullable<Projection['downwardAPI']> }], mode };
  return { sources: (projected?.sources ?? []) as readonly Projection[], mode };
}

/**
 * The files of a volume that is filled from the API: configMap, secret, downwardAPI, projected. Throws ConfigMissing naming what is
 * not there, VolumeError for a source that this node does not know.
 */
export async function projectedFiles(pod: Pod, volume: Volume, config: ConfigReader): Promise<readonly TreeFile[]> {
  const { sources, mode } = sourcesOf(volume);
  const files: TreeFile[] = [];
  for (const source of sources) {
    const { configMap, secret, downwardAPI, serviceAccountToken } = source;
    if (configMap !== undefined) files.push(...(await configMapFiles(configMap, config, mode)));
    else if (secret !== undefined) files.push(...(await secretFiles(secret, config, mode)));
    else if (downwardAPI !== undefined) files.push(...downwardFiles(pod, downwardAPI.items ?? [], config, mode));
    else if (serviceAccountToken !== undefined)
      files.push(await tokenFile({ volume, mode }, serviceAccountToken, config));
    else
      throw new VolumeError(
        `volume "${volume.name}": a projected source of kind ${kindOf({ ...source, name: '' })} is not known on this node`,
      );
  }
  return files;
}

async function tokenFile(
  { volume, mode }: { readonly volume: Volume; readonly mode: number },
  source: NonNullable<Projection['serviceAccountToken']>,
  config: ConfigReader,
): Promise<TreeFile> {
  const token = await config.serviceAccountToken?.(wishOf(source));
  if (token === undefined)
    throw new VolumeError(`volume "${volume.name}": this cluster gives out no service account tokens`);
  return { path: source.path, data: Buffer.from(token), mode };
}

/** What a pod's volumes, or these of them, are filled from, each once. */
export const volumeReferences = (volumes: readonly Volume[] = []): readonly ConfigReference[] =>
  configReferences({ containers: [], volumes });

/** What token a volume asks for. */
export interface TokenWish {
  /** For whom it is meant; undefined: for the API. */
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

/** The tokens that the pod's volumes hold. */
export const tokenWishes = ({ spec }: Pod): readonly TokenWish[] =>
  (spec.volumes ?? []).flatMap((volume) =>
    sourcesOf(volume).sources.flatMap(({ serviceAccountToken }) =>
      serviceAccountToken === undefined ? [] : [wishOf(serviceAccountToken)],
    ),
  );

const wishOf = ({ audience, expirationSeconds = 3600 }: NonNullable<Projection['serviceAccountToken']>): TokenWish => ({
  audience,
  expirationSeconds,
});

/** Whether files of the pod tell what may change while it lives. */
export function tellsOfItself({ spec }: Pod): boolean {
  const changing = /^metadata\.(labels|annotations)/;
  return (spec.volumes ?? []).some((volume) =>
    sourcesOf(volume).sources.some(({ downwardAPI }) =>
      (downwardAPI?.items ?? []).some((item) => changing.test(item.fieldRef?.fieldPath ?? '')),
    ),
  );
}

async function configMapFiles(
  source: FileSource & { readonly name?: string },
  config: ConfigReader,
  mode: number,
): Promise<readonly TreeFile[]> {
  const found = await config.configMap(source.name ?? '');
  if (found === undefined) return unlessOptional(source, `configmap "${source.name ?? ''}" not found`);
  const data = new Map([
    ...Object.entries(found.data ?? {}).map(([key, text]) => [key, Buffer.from(text)] as const),
    ...Object.entries(found.binaryData ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const),
  ]);
  return chosen(`configmap "${source.name ?? ''}"`, source, data, mode);
}

async function secretFiles(
  source: FileSource & { readonly name?: string },
  config: ConfigReader,
  mode: number,
): Promise<readonly TreeFile[]> {
  const found = await config.secret(source.name ?? '');
  if (found === undefined) return unlessOptional(source, `secret "${source.name ?? ''}" not found`);
  const entries = Object.entries(found.data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const);
  return chosen(`secret "${source.name ?? ''}"`, source, new Map(entries), mode);
}

function unlessOptional(source: FileSource, message: string): readonly TreeFile[] {
  if (source.optional === true) return [];
  throw new ConfigMissing(message);
}

function chosen(
  about: string,
  source: FileSource,
  data: ReadonlyMap<string, Buffer>,
  mode: number,
): readonly TreeFile[] {
  if (source.items === undefined || source.items.length === 0)
    return [...data].map(([path, bytes]) => ({ path, data: bytes, mode }));
  return source.items.flatMap((item) => {
    const bytes = data.get(item.key);
    if (bytes === undefined && source.optional === true) return [];
    if (bytes === undefined) throw new ConfigMissing(`${about} has no key "${item.key}"`);
    return [{ path: item.path, data: bytes, mode: item.mode ?? mode }];
  });
}

function downwardFiles(
  pod: Pod,
  items: readonly DownwardItem[],
  config: ConfigReader,
  mode: number,
): readonly TreeFile[] {
  return items.map((item) => {
    const asked = item.resourceFieldRef;
    const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
      (candidate) => candidate.name === asked?.containerName,
    );
    const text =
      asked === undefined
        ? fieldOf({ pod, podIp: config.podIp, hostIp: config.hostIp }, item.fieldRef?.fieldPath ?? '')
        : quantityIn(container?.resources, asked.resource, config.node, asked.divisor);
    return { path: item.path, data: Buffer.from(text), mode: item.mode ?? mode };
  });
}
