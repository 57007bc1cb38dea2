import { type Case, gotOf, passes, request, type Topic } from '../lib/case.ts';

/** Ports that forward requests may name. */
const R = 'RFC 9110 section 4.2.1';
const to = (port: number) => request('GET', `http://o.example:${port}/`);
const no = (name: string, port: number, server?: Record<string, unknown>): Case => ({
  name,
  rfc: R,
  ...(server ? { server } : {}),
  client: to(port),
  answers: [{ status: 403, code: 'port_denied' }],
});
const yes = (name: string, port: number, server?: Record<string, unknown>): Case =>
  passes(name, R, to(port), gotOf('GET /').replace('o.example', `o.example:${port}`), server ? { server } : {});

export const ports: Topic = {
  name: 'ports of forward requests',
  cases: [
    no('mail is refused', 25),
    no('a port that browsers block is refused', 6667),
    no('Redis is refused', 6379),
    no('memcached is refused', 11_211),
    yes('another port passes', 8080),
    yes('https without a tunnel passes', 443),
    no('a port that the config does not name is refused', 8080, { forward_ports: [80] }),
    yes('a port that the config names passes', 25, { forward_ports: [80, 25] }),
  ],
};
