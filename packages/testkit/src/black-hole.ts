import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { freePort } from './port.ts';

/** An address where connections neither open nor fail. */
export interface BlackHole {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens, fills its own queue, and never looks at it again: the kernel drops what comes after (Linux). */
const program = `
  const { createServer, connect } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  createServer().listen({ host: '127.0.0.1', port: workerData, backlog: 1 }, () => {
    for (let i = 0; i < 4; i++) connect(workerData, '127.0.0.1').on('error', () => {});
    // The connections are begun in this turn of the event loop, and would be accepted in the next.
    process.nextTick(() => setImmediate(() => {
      parentPort.postMessage('full');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }));
  });
`;

/** A black hole on 127.0.0.1; on the other addresses of the machine its port is free. */
export async function startBlackHole(): Promise<BlackHole> {
  const port = await freePort();
  const worker = new Worker(program, { eval: true, workerData: port });
  await once(worker, 'message');
  return { port, close: () => worker.terminate().then(() => undefined) };
}
