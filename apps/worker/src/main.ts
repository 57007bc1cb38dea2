/** A worker as a program: the process gets its heap options first, see heap.ts; then serve.ts is all of it. */
import { startAnew } from './heap.ts';

startAnew();
await import('./serve.ts');
