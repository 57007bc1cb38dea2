/** The management service as a process of its own: environment in, HTTP out. */
import { parseEnv } from './env.ts';
import { startApi } from './start.ts';

/** A stop that takes longer is cut short, ms. */
const PATIENCE = 30_000;

try {
  const api = await startApi(parseEnv(process.env));
  api.app.http.log.info({ url: api.url, docs: `${api.url}/docs` }, 'management service listens');
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    api.app.http.log.info({ signal }, 'stopping');
    setTimeout(() => process.exit(1), PATIENCE).unref();
    api.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  process.stderr.write(
    code === 'EADDRINUSE' ? `${message}: choose another address with ARCUS_API_LISTEN\n` : `${message}\n`,
  );
  process.exit(1);
}
