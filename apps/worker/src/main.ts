/** A worker as a program: the process is started with all options first, see start-anew.ts; then serve.ts is all of it. */
import { startAnew } from './start-anew.ts';

startAnew();
await import('./serve.ts');
