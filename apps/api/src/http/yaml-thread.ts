/** A thread that reads YAML: a megabyte takes a second or so, and nobody else should wait for it. */
import { parentPort } from 'node:worker_threads';
import { parseDocument } from '@arcus/gateway/yaml.ts';
import type { YamlAnswer } from './yaml-reader.ts';

parentPort!.on('message', (text: string) => {
  const { value, faults } = parseDocument(text, 'body.yaml');
  // As JSON it crosses in one cheap copy, and is read there in small steps; a whole value would be copied in one go.
  const answer: YamlAnswer = faults.length > 0 ? { faults } : { json: JSON.stringify(value) };
  parentPort!.postMessage(answer);
});
