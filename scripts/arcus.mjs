#!/usr/bin/env node
/** `npx arcus …` inside the project. */
import { main } from './lib/main.mjs';

process.exitCode = await main(['arcus', ...process.argv.slice(2)]);
