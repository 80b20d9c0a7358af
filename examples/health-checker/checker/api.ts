import { readFile } from 'node:fs/promises';
import { request } from 'node:https';

const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
const timeoutMs = 5_000;

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly status: { readonly phase?: string; readonly podIP?: string };
}

/** The API as every pod finds it: by its environment, with the token and the authority in its folder. */
export class Api {
  readonly #namespace: string;
  readonly #ca: Buffer;

  private constructor(namespace: string, ca: Buffer) {
    this.#namespace = namespace;
    this.#ca = ca;
  }
  static async open(): Promise<Api> {
    return new Api(await readFile(`${folder}/namespace`, 'utf8'), await readFile(`${folder}/ca.crt`));
  }

  async pods(selector: string): Promise<readonly Pod[]> {
    const query = new URLSearchParams({ labelSelector: selector });
    const reply = await this.#ask('GET', `pods?${query.toString()}`);
    return (reply as { readonly items: readonly Pod[] }).items;
  }

  /** JSON merge patch (RFC 7386). */
  async patch(name: string, patch: object): Promise<void> {
    await this.#ask('PATCH', `pods/${encodeURIComponent(name)}`, patch);
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
    const token = await readFile(`${folder}/token`, 'utf8'); // it is renewed
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/merge-patch+json' }),
    };
    return new Promise((resolve, reject) => {
      const target = { host, port, path: `/api/v1/namespaces/${this.#namespace}/${path}` };
      const asking = request({ ...target, method, headers, ca: this.#ca, timeout: timeoutMs }, (reply) => {
        let text = '';
        reply.setEncoding('utf8');
        reply.on('data', (part: string) => (text += part));
        reply.on('error', reject);
        reply.on('end', () => {
          const answer = JSON.parse(text) as { readonly message?: string };
          if (reply.statusCode === 200) resolve(answer);
          else reject(new Error(`${method} ${path}: ${answer.message ?? String(reply.statusCode)}`));
        });
      });
      asking.on('timeout', () => asking.destroy(new Error(`${method} ${path}: no answer within ${timeoutMs} ms`)));
      asking.on('error', reject);
      asking.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
