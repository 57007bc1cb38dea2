/** Bytes as a latin1 string: one character per byte, what heads are read and written in. */
export const latin1 = (bytes: Buffer, from = 0, to = bytes.length): string => bytes.toString('latin1', from, to);
