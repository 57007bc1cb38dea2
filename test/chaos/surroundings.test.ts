import { around } from './scenarios.ts';
import { shortForms } from './short.ts';

shortForms(around);
