import { atHome } from './scenarios.ts';
import { shortForms } from './short.ts';

shortForms(atHome);
