/** The management service as a caller sees it: keep-alive connections, tokens, ETags. */
import { Agent, request } from 'node:http';

export interface ApiAnswer {
  status: number;
  etag: string;
  /** The release that a write made. */
  version: number;
  text: string;
  /** performance.now() when the answer was there. */
  at: number;
}

export class ApiClient {
  readonly #port: number;
  readonly #token: string;
  readonly #agent = new Agent({ keepAlive: true, noDelay: true });

  constructor(port: number, token: string) {
    this.#port = port;
    this.#token = token;
  }

  /** Throws on anything but 2xx. */
  call(method: string, path: string, body?: unknown, match?: string): Promise<ApiAnswer> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          ...{ host: '127.0.0.1', port: this.#port, method, path: `/api/v1${path}`, agent: this.#agent },
          headers: {
            authorization: `Bearer ${this.#token}`,
            ...(payload && { 'content-type': 'application/json', 'content-length': payload.length }),
            ...(match && { 'if-match': match }),
          },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('error', reject);
          response.on('end', () => {
            const at = performance.now();
            const status = response.statusCode ?? 0;
            if (status >= 300) return reject(new Error(`${method} ${path}: ${status} ${text.slice(0, 500)}`));
            const { etag = '' } = response.headers;
            resolve({ status, etag, version: Number(response.headers['arcus-release'] ?? 0), text, at });
          });
        },
      );
      sent.on('error', reject);
      sent.end(payload);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
