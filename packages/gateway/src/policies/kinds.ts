import { ipFilter } from './ip_filter.ts';
import { timeRestriction } from './time_restriction.ts';
import { urlFilter } from './url_filter.ts';

export const policyKinds = [ipFilter, urlFilter, timeRestriction] as const;
