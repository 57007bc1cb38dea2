import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { tempDir } from './temp.ts';

export interface Leaf {
  /** PEM */
  readonly cert: string;
  /** PEM, PKCS #8 */
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ThrowAwayCa {
  /** PEM */
  readonly cert: string;
  readonly certFile: string;
  /** PEM, PKCS #8 */
  readonly key: string;
  readonly keyFile: string;
  /** A certificate for these DNS names and IP addresses, good for servers and clients; the first is the common name, none: no name at all. */
  issue(names?: readonly string[], options?: { notBefore?: Date; notAfter?: Date }): Promise<Leaf>;
  close(): void;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const crypto = webcrypto;

/** A new certificate authority whose files lie in a temporary folder. */
export async function createCa(name = 'Arcus test CA'): Promise<ThrowAwayCa> {
  x509.cryptoProvider.set(crypto);
  const dir = tempDir('ca');
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const day = 86_400_000;
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [name] }],
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 30 * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const put = (file: string, text: string) => {
    const path = join(dir.path, file);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const cert = root.toString('pem');
  const key = await pem(keys.privateKey);
  let count = 0;
  return {
    cert,
    certFile: put('ca.crt', cert),
    key,
    keyFile: put('ca.key', key),
    async issue(names = ['localhost', '127.0.0.1'], options = {}) {
      const leafKeys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: names[0] === undefined ? [] : [{ CN: [names[0]] }],
        issuer: root.subjectName,
        notBefore: options.notBefore ?? new Date(Date.now() - day),
        notAfter: options.notAfter ?? new Date(Date.now() + 10 * day),
        signingAlgorithm: algorithm,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          ...(names.length === 0 ? [] : [alternatives(names)]),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      const number = count++;
      const leafCert = leaf.toString('pem');
      const leafKey = await pem(leafKeys.privateKey);
      return {
        cert: leafCert,
        key: leafKey,
        certFile: put(`leaf-${number}.crt`, leafCert),
        keyFile: put(`leaf-${number}.key`, leafKey),
      };
    },
    close: dir.close,
  };
}

function alternatives(names: readonly string[]): x509.Extension {
  return new x509.SubjectAlternativeNameExtension(
    names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })),
  );
}

function serial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
