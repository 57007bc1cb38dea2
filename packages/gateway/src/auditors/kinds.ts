import { protocolInspection } from './protocol_inspection.ts';

export const auditorKinds = [protocolInspection] as const;
