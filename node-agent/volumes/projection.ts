import type { FileSource, Pod, Volume } from '../../lib/api/objects.ts';
import { ConfigMissing, fieldOf } from '../environment.ts';
import { quantityIn } from '../resource-amount.ts';
import type { ConfigReader } from './driver.ts';

export interface ProjectedFile {
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
}

interface DownwardItem {
  readonly path: string;
  readonly mode?: number;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: { readonly containerName?: string; readonly resource: string; readonly divisor?: string };
}
interface Projection {
  readonly configMap?: FileSource & { readonly name?: string };
  readonly secret?: FileSource & { readonly name?: string };
  readonly downwardAPI?: { readonly items?: readonly DownwardItem[] };
}

const defaultMode = 0o644;

/**
 * The files of a volume that is filled from the API: configMap, secret, downwardAPI, projected. Undefined for any other kind.
 * They are written when the pod starts and stay as they are then. Throws ConfigMissing naming what is not there.
 */
export async function projectedFiles(
  pod: Pod,
  volume: Volume,
  config: ConfigReader,
): Promise<readonly ProjectedFile[] | undefined> {
  if (volume.configMap !== undefined) return configMapFiles(volume.configMap, config, volume.configMap.defaultMode);
  if (volume.secret !== undefined) {
    const { secretName, ...source } = volume.secret;
    return secretFiles(
      { ...source, ...(secretName === undefined ? {} : { name: secretName }) },
      config,
      source.defaultMode,
    );
  }
  if (volume.downwardAPI !== undefined) {
    const items = (volume.downwardAPI.items ?? []) as readonly DownwardItem[];
    return downwardFiles(pod, items, config, volume.downwardAPI.defaultMode);
  }
  if (volume.projected === undefined) return undefined;
  const mode = volume.projected.defaultMode;
  const files: ProjectedFile[] = [];
  for (const source of (volume.projected.sources ?? []) as readonly Projection[]) {
    if (source.configMap !== undefined) files.push(...(await configMapFiles(source.configMap, config, mode)));
    if (source.secret !== undefined) files.push(...(await secretFiles(source.secret, config, mode)));
    if (source.downwardAPI !== undefined)
      files.push(...downwardFiles(pod, source.downwardAPI.items ?? [], config, mode));
  }
  return files;
}

async function configMapFiles(
  source: FileSource & { readonly name?: string },
  config: ConfigReader,
  mode: number | undefined,
): Promise<readonly ProjectedFile[]> {
  const found = await config.configMap(source.name ?? '');
  if (found === undefined) return unlessOptional(source, `configmap "${source.name ?? ''}" not found`);
  const data = new Map([
    ...Object.entries(found.data ?? {}).map(([key, text]) => [key, Buffer.from(text)] as const),
    ...Object.entries(found.binaryData ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const),
  ]);
  return chosen(source, data, mode);
}

async function secretFiles(
  source: FileSource & { readonly name?: string },
  config: ConfigReader,
  mode: number | undefined,
): Promise<readonly ProjectedFile[]> {
  const found = await config.secret(source.name ?? '');
  if (found === undefined) return unlessOptional(source, `secret "${source.name ?? ''}" not found`);
  const entries = Object.entries(found.data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const);
  return chosen(source, new Map(entries), mode);
}

function unlessOptional(source: FileSource, message: string): readonly ProjectedFile[] {
  if (source.optional === true) return [];
  throw new ConfigMissing(message);
}

function chosen(source: FileSource, data: ReadonlyMap<string, Buffer>, mode = defaultMode): readonly ProjectedFile[] {
  if (source.items === undefined || source.items.length === 0)
    return [...data].map(([path, bytes]) => ({ path, data: bytes, mode }));
  return source.items.flatMap((item) => {
    const bytes = data.get(item.key);
    if (bytes === undefined && source.optional === true) return [];
    if (bytes === undefined) throw new ConfigMissing(`the volume asks for key "${item.key}", which is not there`);
    return [{ path: item.path, data: bytes, mode: item.mode ?? mode }];
  });
}

function downwardFiles(
  pod: Pod,
  items: readonly DownwardItem[],
  config: ConfigReader,
  mode = defaultMode,
): readonly ProjectedFile[] {
  return items.map((item) => {
    const asked = item.resourceFieldRef;
    const container = pod.spec.containers.find((candidate) => candidate.name === asked?.containerName);
    const text =
      asked === undefined
        ? fieldOf({ pod, podIp: config.podIp, hostIp: config.hostIp }, item.fieldRef?.fieldPath ?? '')
        : quantityIn(container?.resources, asked.resource, config.node, asked.divisor);
    return { path: item.path, data: Buffer.from(text), mode: item.mode ?? mode };
  });
}
