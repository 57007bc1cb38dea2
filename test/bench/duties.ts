/** What every proxy with duties must know: who may pass, and which hosts nobody may reach. */
export const USER = 'bench';
export const PASSWORD = 'correct horse battery staple';
export const AUTHORIZATION = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;

/** How many hosts the policy names in every row but `rules`. */
export const RULES = 10_000;

export interface BlockedHost {
  host: string;
  /** Names below it are blocked too. */
  children: boolean;
}

/** `count` hosts, half of them with all names below them. None is an origin's. */
export function blockedHosts(count: number): BlockedHost[] {
  return Array.from({ length: count }, (_, i) => {
    const tag = (Math.imul(i + 1, 0x9e3779b1) >>> 0).toString(36);
    return { host: `${tag}-${i}.site${i % 97}.example`, children: i % 2 === 1 };
  });
}
