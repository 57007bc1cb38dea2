/** What the kernel still holds for a peer: bytes that were written and not acknowledged. Node cannot ask a socket. */
import { fstatSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** A table of all connections in the name space of the process: one read at a time serves all who ask meanwhile. */
class Table {
  readonly #file: string;
  #running: Promise<string> = Promise.resolve('');
  #next: Promise<string> | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  /** As it is now: read after this call. Empty where there is none (only Linux has it). */
  read(): Promise<string> {
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      this.#running = readFile(this.#file, 'latin1').catch(() => '');
      return this.#running;
    });
    return this.#next;
  }
}

const four = new Table('/proc/net/tcp');
const six = new Table('/proc/net/tcp6');

/** Bytes for the peer of the socket `fd`; 0 where that cannot be known. `ipv6`: it is a socket of that family. */
export async function sendQueue(fd: number, ipv6: boolean): Promise<number> {
  let inode: string;
  try {
    inode = String(fstatSync(fd).ino);
  } catch {
    return 0; // Closed.
  }
  const table = await (ipv6 ? six : four).read();
  for (let at = table.indexOf(` ${inode} `); at >= 0; at = table.indexOf(` ${inode} `, at + 1)) {
    const start = table.lastIndexOf('\n', at) + 1;
    const end = table.indexOf('\n', at);
    // sl local remote state tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
    const columns = table
      .slice(start, end < 0 ? undefined : end)
      .trim()
      .split(/ +/);
    if (columns[9] === inode) return Number.parseInt(columns[4]!, 16);
  }
  return 0;
}
