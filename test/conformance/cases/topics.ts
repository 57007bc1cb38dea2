import type { Topic } from '../lib/case.ts';
import { targets } from './targets.ts';

export const topics: readonly Topic[] = [targets];
