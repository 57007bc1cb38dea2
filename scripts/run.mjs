/**
 * What `npm start`, `npm test` and the others run: makes a fresh clone ready (dependencies, Prisma clients), then hands
 * over to Node 24. Plain JavaScript without dependencies, because nothing is installed yet and Node 20 may run it.
 */
import { main } from './lib/main.mjs';

process.exitCode = await main(process.argv.slice(2));
