/** What end users do: requests and tunnels through a proxy, byte by byte. */
import { RawClient, type RawResponse } from '@arcus/testkit/raw-client.ts';

export interface ProxyUser {
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
}

const credentials = ({ user, password }: ProxyUser): string =>
  user === undefined ? '' : `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`;

/** One request on a keep-alive connection to the proxy. */
export const get = (client: RawClient, who: ProxyUser, url: string): Promise<RawResponse> =>
  client.request(`GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${credentials(who)}\r\n`);

/** One request on a connection of its own. */
export async function browse(who: ProxyUser, url: string): Promise<RawResponse> {
  const client = await RawClient.connect({ port: who.port });
  try {
    return await get(client, who, url);
  } finally {
    await client.close();
  }
}

/** An open tunnel: what is sent now goes to `target`. */
export async function tunnel(who: ProxyUser, target: string): Promise<RawClient> {
  const client = await RawClient.connect({ port: who.port });
  await client.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials(who)}\r\n`);
  const { status, head } = await client.readResponse({ method: 'CONNECT' });
  if (status !== 200) throw new Error(`CONNECT was answered with ${head}`);
  return client;
}

/** Sends a text through a tunnel to an echo server and waits until it is back. */
export async function echo(client: RawClient, text: string): Promise<void> {
  await client.send(text);
  const back = (await client.read(Buffer.byteLength(text))).toString();
  if (back !== text) throw new Error(`the tunnel brought back ${back}`);
}
