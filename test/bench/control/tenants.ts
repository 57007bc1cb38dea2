/** What the tenants of these rows are: each has a listener of its own, a way out and a policy of its own rules. */

export const tenantId = (index: number): string => `t${String(index).padStart(5, '0')}`;

/** Every tenant has the same port on an address of its own. */
export const PORT = 18_080;
export const addressOf = (index: number): string => `127.${100 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;

/** The site that a release answers with its mark: whoever asks for it sees which release decides. */
export const MARKED_SITE = 'mark.example';
export const markUrl = (mark: number): string => `http://m${mark}.example/`;

/** A name that no compressor guesses, the same each time. */
const siteOf = (index: number, rule: number): string =>
  (Math.imul(index * 1000 + rule + 1, 0x9e3779b1) >>> 0).toString(36) +
  (Math.imul(index * 1000 + rule + 7, 0x85ebca6b) >>> 0).toString(36);

/** The tenant's policy: `rules` rules, the last of which leads the marked site to the mark. */
export function policyOf(index: number, rules: number, mark: number) {
  return {
    name: 'sites',
    type: 'url_filter',
    rules: [
      ...Array.from({ length: rules - 1 }, (_, i) => ({
        child_match: `${siteOf(index, i)}.example`,
        action: 'block',
      })),
      { exact_match: MARKED_SITE, action: 'redirect', redirect_url: markUrl(mark) },
    ],
  };
}

/** The tenant's config as a person would write it. */
export function documentOf(index: number, rules: number, mark = 0) {
  return {
    servers: [
      { name: 'web', type: 'http_proxy', listen: { address: `${addressOf(index)}:${PORT}` }, escaper: 'direct' },
    ],
    escapers: [{ name: 'direct', type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }] }],
    policies: [policyOf(index, rules, mark)],
  };
}
