import { it } from 'node:test';
import { warmUp } from './warm-up.ts';

it('the example goes all the way that releases go', () => warmUp());
