/**
 * A worker as a program. SIGTERM and SIGINT let sessions end; a second one cuts them. SIGHUP replaces the processes of a
 * worker that has several.
 */
import { startSupervised, startWorker } from './app.ts';
import { processesOf, readWorkerEnv } from './env.ts';

const fail = (error: unknown): never => {
  process.stderr.write(`arcus worker: ${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
};

try {
  const env = readWorkerEnv(process.env);
  const worker = await (processesOf(env) === 1 ? startWorker(env) : startSupervised(env));
  let signals = 0;
  const stop = () => void worker.close({ now: ++signals > 1 }).then(() => process.exit(0), fail);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // One process has nobody to hand over to: it takes SIGHUP as it takes SIGTERM.
  process.on('SIGHUP', worker.restart ? () => void worker.restart?.() : stop);
} catch (error) {
  fail(error);
}
