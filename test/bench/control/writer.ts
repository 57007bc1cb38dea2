/** Changes one rule of a tenant's policy, again and again. */
import type { ApiAnswer, ApiClient } from './api-client.ts';
import { policyOf, tenantId } from './tenants.ts';

export class Writer {
  readonly index: number;
  readonly #client: ApiClient;
  readonly #rules: number;
  #etag = '';
  /** Of the last write that was answered. */
  mark: number;

  constructor(client: ApiClient, index: number, rules: number) {
    this.#client = client;
    this.index = index;
    this.#rules = rules;
    this.mark = 0;
  }

  get #path(): string {
    return `/tenants/${tenantId(this.index)}/policies/sites`;
  }

  /** One release with the next mark. */
  async write(): Promise<ApiAnswer> {
    if (this.#etag === '') {
      const { etag, text } = await this.#client.call('GET', this.#path);
      this.#etag = etag;
      this.mark = Number(/http:\/\/m(\d+)\.example/.exec(text)![1]);
    }
    const mark = this.mark + 1;
    const answer = await this.#client.call('PUT', this.#path, policyOf(this.index, this.#rules, mark), this.#etag);
    this.#etag = answer.etag;
    this.mark = mark;
    return answer;
  }
}
