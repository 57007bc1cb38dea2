// A Prisma generator that prints the schema's DDL for the datasource's database: what a new migration is written
// from. Knows what schema.prisma uses and fails on the rest.
import { writeFileSync } from 'node:fs';
import helper from '@prisma/generator-helper';

const tableOptions = 'DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

helper.generatorHandler({
  onManifest: () => ({ prettyName: 'DDL', defaultOutput: 'schema.sql' }),
  onGenerate: async ({ dmmf, datasources, generator }) => {
    const provider = datasources[0].provider;
    const print = provider === 'mysql' ? mysql : provider === 'sqlite' ? sqlite : undefined;
    if (!print) throw new Error(`no DDL for ${provider}`);
    const enums = new Map(dmmf.datamodel.enums.map((e) => [e.name, e.values.map((v) => v.dbName ?? v.name)]));
    const models = new Map(dmmf.datamodel.models.map((m) => [m.name, m]));
    const normal = dmmf.datamodel.indexes.filter((i) => i.type === 'normal');
    const tables = dmmf.datamodel.models.map((m) => {
      const indexes = normal.filter((i) => i.model === m.name).map((i) => i.fields.map((f) => f.name));
      return table(m, indexes, models, enums, print);
    });
    writeFileSync(generator.output.value, tables.join('\n'));
  },
});

function table(model, indexes, models, enums, print) {
  const q = print.quote;
  const name = model.dbName ?? model.name;
  const columns = model.fields.filter((f) => f.kind !== 'object');
  const lines = columns.map((f) => `${q(f.name)} ${print.column(f, enums)}${f.isRequired ? ' NOT NULL' : ' NULL'}`);
  const key = model.primaryKey?.fields ?? columns.filter((f) => f.isId).map((f) => f.name);
  for (const [i, f] of columns.entries()) {
    if (f.default?.name === 'autoincrement') lines[i] = `${q(f.name)} ${print.autoincrement}`;
    else if (f.default !== undefined) {
      lines[i] += ` DEFAULT ${literal(f.type === 'BigInt' ? Number(f.default) : f.default)}`;
    }
  }
  if (!(print.keyInColumn && columns.some((f) => f.default?.name === 'autoincrement'))) {
    lines.push(`PRIMARY KEY (${key.map(q).join(', ')})`);
  }
  for (const f of columns.filter((f) => f.isUnique)) {
    lines.push(`CONSTRAINT ${q(`${name}_${f.name}_key`)} UNIQUE (${q(f.name)})`);
  }
  for (const f of model.fields.filter((f) => f.relationFromFields?.length)) {
    const other = models.get(f.type);
    lines.push(
      `CONSTRAINT ${q(`${name}_${f.relationFromFields.join('_')}_fkey`)} FOREIGN KEY (${f.relationFromFields.map(q)}) ` +
        `REFERENCES ${q(other.dbName ?? other.name)} (${f.relationToFields.map(q)}) ` +
        `ON DELETE ${f.relationOnDelete === 'Cascade' ? 'CASCADE' : 'RESTRICT'}`,
    );
  }
  const more = indexes.map(
    (fields) => `CREATE INDEX ${q(`${name}_${fields.join('_')}_idx`)} ON ${q(name)} (${fields.map(q).join(', ')});\n`,
  );
  return `CREATE TABLE ${q(name)} (\n  ${lines.join(',\n  ')}\n)${print.options};\n${more.join('')}`;
}

const literal = (value) => {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Error(`no DDL for default ${JSON.stringify(value)}`);
};

const mysqlTypes = { Int: 'INTEGER', BigInt: 'BIGINT', Boolean: 'BOOLEAN', Json: 'JSON' };
const mysql = {
  quote: (name) => `\`${name}\``,
  options: ` ${tableOptions}`,
  autoincrement: 'BIGINT NOT NULL AUTO_INCREMENT',
  keyInColumn: false,
  column(f, enums) {
    if (f.kind === 'enum') return `ENUM(${enums.get(f.type).map(literal).join(', ')})`;
    if (f.nativeType) return f.nativeType[0].toUpperCase() + (f.nativeType[1].length ? `(${f.nativeType[1]})` : '');
    const type = mysqlTypes[f.type];
    if (!type) throw new Error(`${f.name}: ${f.type} needs a @db attribute`);
    return type;
  },
};

const sqliteTypes = {
  Int: 'INTEGER',
  BigInt: 'BIGINT',
  Boolean: 'BOOLEAN',
  Json: 'JSONB',
  String: 'TEXT',
  DateTime: 'DATETIME',
  Bytes: 'BLOB',
};
const sqlite = {
  quote: (name) => `"${name}"`,
  options: '',
  autoincrement: 'INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT',
  keyInColumn: true,
  column(f) {
    return f.kind === 'enum' ? 'TEXT' : sqliteTypes[f.type];
  },
};
