import { system } from './system.ts';

export const resolverKinds = [system] as const;
