/** Requests at a fixed rate, whatever becomes of the ones before: an open loop hides no waiting. */
import net from 'node:net';

export interface OpenLoad {
  port: number;
  /** The whole request. */
  request: string;
  /** Bytes of the whole answer, head and body; all answers are alike. */
  answerBytes: number;
  perSecond: number;
  count: number;
}

class Client {
  readonly socket: net.Socket;
  sentAt = 0;
  left = 0;

  constructor(port: number, answered: (client: Client) => void) {
    this.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (chunk) => {
      this.left -= chunk.length;
      if (this.left === 0) answered(this);
      else if (this.left < 0) this.socket.destroy(new Error('more came than was asked for'));
    });
  }
}

/** Milliseconds from each request's sending to its last byte, sorted. */
export async function openLoop(load: OpenLoad): Promise<Float64Array> {
  const { port, request, answerBytes, perSecond, count } = load;
  const times = new Float64Array(count);
  const idle: Client[] = [];
  const all: Client[] = [];
  let sent = 0;
  let answered = 0;
  await new Promise<void>((resolve, reject) => {
    const start = performance.now();
    const due = () => Math.min(count, Math.floor(((performance.now() - start) / 1000) * perSecond));
    const send = () => {
      for (const upTo = due(); sent < upTo; sent++) {
        let client = idle.pop();
        if (client === undefined) {
          client = new Client(port, (each) => {
            times[answered++] = performance.now() - each.sentAt;
            idle.push(each);
            if (answered === count) resolve();
          });
          client.socket.on('error', reject);
          client.socket.on('close', () => reject(new Error(`closed after ${answered} of ${count} answers`)));
          all.push(client);
        }
        client.left = answerBytes;
        client.sentAt = performance.now();
        client.socket.write(request, 'latin1');
      }
      if (sent < count) setTimeout(send, 1);
    };
    send();
  }).finally(() => {
    for (const client of all) client.socket.removeAllListeners('close').destroy();
  });
  return times.sort();
}
