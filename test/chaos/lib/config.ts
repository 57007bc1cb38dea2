/** Configs in which everything names the write that it came with, so that each decision shows whose it was. */

export interface Place {
  readonly tenant: string;
  /** Address that its server listens on. */
  readonly host: string;
  readonly port: number;
  /** host:port of the next proxy, which answers with the user name that it was shown. */
  readonly parent: string;
}

/** The config of write `n`. Server, escaper and rules say n; which of two sites is blocked is n's parity. */
export const configOf = ({ host, port, parent }: Place, n: number) => ({
  servers: [
    {
      name: `web-${n}`,
      type: 'http_proxy',
      listen: { address: `${host}:${port}` },
      escaper: `out-${n}`,
    },
  ],
  escapers: [
    {
      name: `out-${n}`,
      type: 'proxy_http',
      proxy_addr: parent,
      proxy_username: `r${n}`,
      egress_allow: [{ network: '127.0.0.0/8' }, { network: '10.77.0.0/16' }],
    },
  ],
  policies: [
    {
      name: 'sites',
      type: 'url_filter',
      rules: [
        { exact_match: 'which.test', action: 'redirect', redirect_url: `http://release.test/${n}`, id: `r-${n}` },
        { exact_match: `p${(n + 1) % 2}.test`, action: 'block', id: `r-${n}` },
      ],
    },
  ],
});

/** What clients ask for, in turn. */
export const questions = ['which.test', 'site.test', 'p0.test', 'p1.test'] as const;
export type Question = (typeof questions)[number];

/** The write that an answer shows; throws when it shows a mix of two, or nothing. */
export function readAnswer(question: Question, status: number, location: string, body: string): number {
  const said = (text: string, pattern: RegExp) => {
    const found = pattern.exec(text);
    if (!found) throw new Error(`${question} was answered with ${status} ${location} ${body.slice(0, 200)}`);
    return Number(found[1]);
  };
  if (question === 'which.test') {
    if (status !== 302 && status !== 307) throw new Error(`${question} was answered with ${status}`);
    return said(location, /release\.test\/(\d+)$/);
  }
  const parity = question === 'site.test' ? undefined : Number(question[1]);
  if (status === 200) {
    const n = said(body, /^r(\d+)$/);
    if (parity !== undefined && n % 2 !== parity) {
      throw new Error(
        `a mix: ${question} was let through by a policy that is not of write ${n}, whose escaper took it`,
      );
    }
    return n;
  }
  if (status !== 403 || parity === undefined) throw new Error(`${question} was answered with ${status}`);
  const n = said(body, /r-(\d+)/);
  if (n % 2 === parity) throw new Error(`a mix: ${question} was blocked by write ${n}, which lets it through`);
  return n;
}
