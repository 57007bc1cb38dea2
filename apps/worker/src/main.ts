/** A worker as a process of its own. SIGTERM and SIGINT let sessions end; a second one cuts them. */
import { startWorker } from './app.ts';
import { readWorkerEnv } from './env.ts';

try {
  const worker = await startWorker(readWorkerEnv(process.env));
  let signals = 0;
  const stop = () => {
    worker.close({ now: ++signals > 1 }).then(
      () => process.exit(0),
      (error) => {
        process.stderr.write(`arcus worker: ${error instanceof Error ? error.message : error}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
} catch (error) {
  process.stderr.write(`arcus worker: ${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
