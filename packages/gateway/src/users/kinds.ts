import { basic } from './basic.ts';

export const userGroupKinds = [basic] as const;
